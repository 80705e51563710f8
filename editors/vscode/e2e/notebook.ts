/** A notebook in a real window: ghost text in a cell, and next edits that go from cell to cell. */
import assert from 'node:assert/strict';
import type { Editor } from './editor.ts';
import { type Hands, inWindow } from './hands.ts';
import { seePainted } from './nextEdit.ts';
import type { Program } from './scripted.ts';

const NAME = 'note.ipynb';
const FIRST = '%matplotlib inline\nitems = []';
const LAST = 'print(items)';
const APPEND = 'append(item)';
const RENAMED = 'names.ipynb';

export async function notebook(editor: Editor, program: Program, pictures: string): Promise<void> {
  program.scripted({ texts: [APPEND] });
  editor.write(NAME, notebookOf([FIRST, 'items', LAST]));
  editor.write(RENAMED, notebookOf(['rows = []', '%time rows\nprint(rows)', 'rows.sort()']));
  const settings = { 'dgls.nextEdit': true, 'editor.quickSuggestions': false }; // Tab accepts what a menu offers
  await editor.start({ 'dgls.server.path': program.path, ...settings });
  await inWindow(editor, pictures, async (hands) => {
    await open(hands, program, NAME, 1);
    await hands.press('Control+End');
    await hands.type('.');
    await hands.seeGhost(APPEND);
    await hands.picture('notebook');
    const asked = program.entries('infill').at(-1);
    assert.equal(asked?.path, NAME);
    const [before, , after] = asked.segments ?? [];
    assert.deepEqual([before, after], [`${FIRST}\n\n\nitems.`, `\n\n\n${LAST}`]);
    await hands.press('Tab');
    assert.deepEqual(sourcesIn(await hands.saved(NAME)), [FIRST, `items.${APPEND}`, LAST]);
    console.log('ok: a cell is completed among the cells around it');
  });
  program.scripted({ confidence: 0 });
  await inWindow(editor, pictures, async (hands) => {
    await open(hands, program, RENAMED, 0);
    await hands.press('Control+Home', 'Control+ArrowRight');
    await hands.type('_in');
    await seePainted(hands, `   Tab: next edit in ${RENAMED}, line 2`, 'rows_in');
    await hands.picture('notebook-next-edit');
    await hands.press('Tab');
    await seePainted(hands, 'rows_in', '   Tab: apply');
    await hands.press('Tab');
    await seePainted(hands, `   Tab: next edit in ${RENAMED}, line 1`, 'rows_in');
    await hands.press('Tab');
    await seePainted(hands, 'rows_in', '   Tab: apply');
    await hands.press('Tab');
    await seePainted(hands);
    const renamed = ['rows_in = []', '%time rows\nprint(rows_in)', 'rows_in.sort()'];
    assert.deepEqual(sourcesIn(await hands.saved(RENAMED)), renamed);
    console.log('ok: Tab goes through the next edits in other cells');
  });
}

/** Open a notebook and click into one of its cells. */
async function open(hands: Hands, program: Program, name: string, cell: number): Promise<void> {
  await hands.until('the engine is open', () => program.entries('open').length > 0);
  await hands.page.keyboard.press('Control+p');
  await hands.page.locator('.quick-input-widget input').fill(name);
  await hands.row(name).first().click();
  await hands.page.locator('.notebookOverlay .code-cell-row .view-lines').nth(cell).click();
}

function notebookOf(sources: string[]): string {
  const cells = sources.map((source) => ({
    cell_type: 'code',
    execution_count: null,
    metadata: {},
    outputs: [],
    source,
  }));
  const metadata = { language_info: { name: 'python' } };
  return JSON.stringify({ cells, metadata, nbformat: 4, nbformat_minor: 4 });
}

function sourcesIn(text: string): string[] {
  const { cells } = JSON.parse(text) as { cells: { source: string[] | string }[] };
  return cells.map(({ source }) => [source].flat().join(''));
}
