/** Changing code: light bulb, diff preview, drafts, and cancelling them. */
import assert from 'node:assert/strict';
import { BASKET, type Part } from './cases.ts';
import type { Hands } from './hands.ts';

const LINE = '        self.items';
const FIRST = 'self.items.append(item)';
const SECOND = 'self.items += [item]';
const ABOVE = BASKET.replace(`${LINE}|`, `|${LINE}`);
const STUBS = `def total(items):
    pass|


def mean(items):
    pass
`;

async function selectLine(hands: Hands): Promise<void> {
  await hands.press('Home', 'Shift+End');
}

function rewritten(line: string): string {
  return BASKET.replace(`${LINE}|`, `        ${line}`);
}

export const REWRITING: Part = {
  script: { texts: [FIRST, SECOND], instructed: true },
  cases: [
    {
      name: 'rewrites by a code action that is resolved once chosen',
      file: 'bulb.py',
      at: BASKET,
      run: async (hands, program) => {
        await selectLine(hands);
        await hands.press('Control+.');
        const action = hands.page.locator('.action-widget .monaco-list-row', { hasText: 'Rewrite selection' }).first();
        await action.waitFor();
        assert.equal(program.entries('infill').length, 0, 'listing asked the engine');
        await hands.picture('actions');
        await action.click();
        await hands.until('the rewrite', async () => (await hands.saved('bulb.py')) === rewritten(FIRST));
      },
    },
    {
      name: 'previews a rewrite with an instruction, another one on Again, and accepts that',
      file: 'preview.py',
      at: BASKET,
      run: async (hands, program) => {
        await selectLine(hands);
        await hands.command('dgls: Rewrite Selection...');
        await hands.page.getByText('Rewrite the selection').waitFor();
        await hands.type('append in place');
        await hands.picture('instruction');
        await hands.press('Enter');
        await seeProposed(hands, FIRST);
        assert.equal(program.entries('infill').at(-1)?.instruction, 'append in place');
        await hands.picture('preview');
        await hands.page.locator('.editor-actions [aria-label^="Again"]').click();
        await seeProposed(hands, SECOND);
        await hands.press('Control+Enter');
        await hands.page.locator('.monaco-diff-editor').waitFor({ state: 'detached' });
        await hands.until('accepted', async () => (await hands.saved('preview.py')) === rewritten(SECOND));
      },
    },
    {
      name: 'remembers instructions; Discard leaves the file as it was',
      file: 'discard.py',
      at: BASKET,
      run: async (hands) => {
        await selectLine(hands);
        await hands.command('dgls: Rewrite Selection...');
        await hands.row('append in place').waitFor();
        await hands.press('ArrowDown', 'Enter');
        await seeProposed(hands, FIRST);
        await hands.press('Escape');
        await hands.page.locator('.monaco-diff-editor').waitFor({ state: 'detached' });
        assert.equal(await hands.saved('discard.py'), BASKET.replace('|', ''));
      },
    },
    {
      name: 'fills the stub at the cursor, then all of them',
      file: 'stubs.py',
      at: STUBS,
      run: async (hands) => {
        await hands.command('dgls: Fill Here');
        await hands.until('one filled', async () => (await hands.saved('stubs.py')).split('pass').length === 2);
        await hands.command('dgls: Fill All Holes in This File');
        await hands.until('all filled', async () => !(await hands.saved('stubs.py')).includes('pass'));
      },
    },
  ],
};

export const SLOWLY: Part = {
  script: { texts: [FIRST], steps: 30, step_ms: 100 },
  cases: [
    {
      name: 'paints the draft in its place while a rewrite runs',
      file: 'draft.py',
      at: ABOVE,
      run: async (hands) => {
        await selectLine(hands);
        await hands.command('dgls: Rewrite Selection...');
        await hands.until(
          'the draft',
          async () => (await hands.painted()).includes(FIRST),
          () => hands.painted(),
        );
        await hands.picture('draft');
        await seeProposed(hands, FIRST);
        assert.equal(await hands.painted(), '');
        await hands.press('Escape');
        await hands.page.locator('.monaco-diff-editor').waitFor({ state: 'detached' });
      },
    },
    {
      name: 'Esc stops a rewrite, and nothing changes',
      file: 'stop.py',
      at: ABOVE,
      run: async (hands, program) => {
        await selectLine(hands);
        await hands.command('dgls: Rewrite Selection...');
        await hands.until('the draft', async () => (await hands.painted()).includes(FIRST));
        await hands.press('Escape');
        await hands.until('the engine stopped', () => program.entries('cancelled').length === 1);
        await hands.until('the draft is gone', async () => (await hands.painted()) === '');
        assert.equal(await hands.saved('stop.py'), ABOVE.replace('|', ''));
      },
    },
  ],
};

async function seeProposed(hands: Hands, line: string): Promise<void> {
  const right = hands.page.locator('.monaco-diff-editor .editor.modified .view-lines');
  await hands.until(`proposed: ${line}`, async () =>
    (await right.allInnerTexts()).join('\n').replaceAll('\u00a0', ' ').includes(line),
  );
}
