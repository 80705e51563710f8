/**
 * Typing with the small model, as people get it: text that a person may accept. The scene leaves one sensible rest of
 * the line, so the cases say what kind of code comes, not which tokens.
 */
import assert from 'node:assert/strict';
import type { Case } from './cases.ts';
import type { Editor } from './editor.ts';
import { inWindow, type Hands } from './hands.ts';
import { noSmall, parses, type Program } from './scripted.ts';

const BASKET = `class Basket:
    """What a customer is about to buy."""

    def __init__(self):
        self.items = []

    def add(self, item):
        self.items|

    def __len__(self):
        return len(self.items)
`;
/** The deadline of a slow machine; all else is the default. */
const UNHURRIED = { 'dgls.model': 'small', 'dgls.threads': 1, 'dgls.inlineCompletion.deadlineMs': 15_000 };

const CASES: Omit<Case, 'at'>[] = [
  {
    name: 'the small model shows a call; accepted, the file parses',
    file: 'whole.py',
    run: async (hands) => {
      const shown = await typed(hands);
      assert.match(shown, /^\w+\(item\)$/);
      await hands.press('Tab');
      const saved = await hands.saved('whole.py');
      assert.equal(saved, BASKET.replace('|', `.${shown}`));
      assert.ok(parses(saved));
    },
  },
  {
    name: 'what is typed of it leaves the rest',
    file: 'through.py',
    run: async (hands) => {
      const shown = await typed(hands);
      await hands.type(shown.slice(0, 3));
      await hands.seeGhost(shown.slice(3));
    },
  },
  {
    name: 'a word of it is accepted',
    file: 'word.py',
    run: async (hands) => {
      const shown = await typed(hands);
      await hands.press('Control+ArrowRight');
      await hands.seeGhost('(item)');
      assert.equal(await hands.saved('word.py'), BASKET.replace('|', `.${shown.split('(')[0] ?? ''}`));
    },
  },
];

export async function small(editor: Editor, program: Program, pictures: string): Promise<void> {
  const reason = noSmall();
  if (reason !== undefined) {
    assert.ok(!('DGLS_TESTS_NEED_SMALL' in process.env), reason);
    console.log(`SKIPPED: ${reason}`);
    return;
  }
  program.real();
  await editor.start({ 'dgls.server.path': program.path, ...UNHURRIED });
  for (const { file } of CASES) {
    editor.write(file, BASKET.replace('|', ''));
  }
  await inWindow(editor, pictures, async (hands) => {
    await hands.open('whole.py', BASKET);
    await hands.ready();
    for (const { name, file, run } of CASES) {
      await hands.open(file, BASKET);
      await run(hands, program);
      console.log(`ok: ${name}`);
    }
  });
}

/** The suggestion after a typed dot. */
async function typed(hands: Hands): Promise<string> {
  await hands.type('.');
  await hands.until('a suggestion', async () => (await hands.ghost()) !== '');
  return hands.ghost();
}
