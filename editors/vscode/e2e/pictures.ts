/** Takes the pictures of the README and the walkthrough, with the embedded model. */
import type { Editor } from './editor.ts';
import { inWindow, type Hands } from './hands.ts';
import type { Program } from './scripted.ts';

const BASKET = `class Basket:
    def __init__(self, owner, items):
        self.owner = owner
        self.items = items

    def add(self, item):
        self.items.|

    def __len__(self):
        return len(self.items)
`;
const STUBS = `class Stack:
    def __init__(self):
        self.items = []

    def push(self, item):
        pass

    def pop(self):
        pass

    def peek(self):
        pass|

    def __len__(self):
        pass
`;
const READ = `import os


def read(path):
    |if not os.path.exists(pth):
        return None
    return open(path).read()
`;

export async function pictures(editor: Editor, program: Program, folder: string): Promise<void> {
  program.embedded();
  await editor.start({ 'dgls.server.path': program.path });
  editor.write('basket.py', BASKET.replace('|', ''));
  editor.write('stack.py', STUBS.replace('|', ''));
  editor.write('read.py', READ.replace('|', ''));
  await inWindow(editor, folder, take);
}

async function take(hands: Hands): Promise<void> {
  const { page } = hands;
  await hands.open('basket.py', BASKET);
  await hands.ready();
  await hands.open('basket.py', BASKET);
  await hands.press('Alt+Backslash');
  await hands.until('a suggestion', async () => (await hands.ghost()) !== '');
  await hands.picture('suggestion');
  await page.locator('#status\\.languageStatus').click();
  await page.waitForTimeout(500);
  await hands.picture('status');
  await hands.press('Escape');

  await hands.open('stack.py', STUBS);
  void hands.command('dgls: Fill All Holes in This File');
  await hands.until('a draft', async () => (await hands.drafted()) !== '');
  await hands.picture('denoising');

  await hands.open('read.py', READ);
  await hands.press('Shift+End');
  await hands.command('dgls: Refine Selection...');
  await hands.row('Lightly').waitFor();
  await hands.press('ArrowDown', 'Enter'); // more
  await page.locator('.monaco-diff-editor').waitFor();
  await page.waitForTimeout(1000);
  await hands.picture('refine');
}
