/**
 * Takes the pictures of the README and the walkthrough, with the small model.
 *
 * The scenes are ordinary files of a beginner's size. They show what the model typically does well, not its best: it
 * gets about half of such lines right, and nothing is drawn twice for a better text. Where a scene went wrong, another
 * ordinary one took its place.
 */
import type { Editor } from './editor.ts';
import { inWindow, type Hands } from './hands.ts';
import { noSmall, type Program } from './scripted.ts';

const WORDS = `"""Count the words of a text file."""

import sys


def count_words(text):
    counts = {}
    for word in text.split():
        counts[word] =|
    return counts


def main():
    with open(sys.argv[1]) as file:
        counts = count_words(file.read())
    for word, count in sorted(counts.items()):
        print(count, word)


if __name__ == "__main__":
    main()
`;
const NOTES = `from pathlib import Path


class Notes:
    """Notes in a folder, one file a note."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.notes = {}

    def load(self):
        for path in self.folder.glob("*.txt"):
            self.notes[path.stem] = path.read_text()

    def names(self):
        pass

    def __len__(self):
        pass

    def __contains__(self, name):
        pass|
`;
const READ = `import os


def read(path):
    |if not os.path.exists(pth):
        return None
    return open(path).read()
`;
const STUBS = 3;
/** The deadline of a slow machine; all else is the default, so the suggestion comes unasked. */
const UNHURRIED = { 'dgls.model': 'small', 'dgls.inlineCompletion.deadlineMs': 15_000 };

export async function pictures(editor: Editor, program: Program, folder: string): Promise<void> {
  const reason = noSmall();
  if (reason !== undefined) {
    console.error(reason);
    process.exitCode = 1;
    return;
  }
  program.real();
  await editor.start({ 'dgls.server.path': program.path, ...UNHURRIED });
  editor.write('words.py', WORDS.replace('|', ''));
  editor.write('notes.py', NOTES.replace('|', ''));
  editor.write('read.py', READ.replace('|', ''));
  await inWindow(editor, folder, take);
}

async function take(hands: Hands): Promise<void> {
  const { page } = hands;
  await hands.open('notes.py', NOTES);
  await hands.ready(); // the first request takes longer than those that people wait for later
  await hands.open('notes.py', NOTES);
  void hands.command('dgls: Fill All Holes in This File');
  await hands.until('a draft of each stub', async () => (await hands.painted()).split('return').length > STUBS);
  await hands.picture('denoising');
  await hands.until('the fills', async () => (await hands.painted()) === '');
  console.log(`filled:\n${await hands.saved('notes.py')}`);

  await hands.open('words.py', WORDS);
  await hands.type(' ');
  await hands.until('a suggestion', async () => (await hands.ghost()) !== '');
  console.log(`suggestion: ${await hands.ghost()}`);
  await hands.picture('suggestion');
  await page.locator('#status\\.languageStatus').click();
  await page.waitForTimeout(500);
  await hands.picture('status');
  await hands.press('Escape');
  await hands.saved('words.py');

  await hands.open('read.py', READ);
  await hands.press('Shift+End');
  await hands.command('dgls: Refine Selection...');
  await hands.row('Lightly').waitFor();
  await hands.press('ArrowDown', 'Enter'); // more
  await page.locator('.monaco-diff-editor').waitFor();
  await page.waitForTimeout(1000);
  await hands.picture('refine');
}
