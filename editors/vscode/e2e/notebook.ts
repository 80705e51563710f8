/** A notebook in a real window: ghost text in a cell, from a prompt that holds the cells around it. */
import assert from 'node:assert/strict';
import type { Editor } from './editor.ts';
import { inWindow } from './hands.ts';
import type { Program } from './scripted.ts';

const NAME = 'note.ipynb';
const FIRST = '%matplotlib inline\nitems = []';
const LAST = 'print(items)';
const APPEND = 'append(item)';

export async function notebook(editor: Editor, program: Program, pictures: string): Promise<void> {
  program.scripted({ texts: [APPEND] });
  editor.write(NAME, notebookOf([FIRST, 'items', LAST]));
  await editor.start({ 'dgls.server.path': program.path });
  await inWindow(editor, pictures, async (hands) => {
    await hands.until('the engine is open', () => program.entries('open').length > 0);
    await hands.page.keyboard.press('Control+p');
    await hands.page.locator('.quick-input-widget input').fill(NAME);
    await hands.row(NAME).first().click();
    await hands.page.locator('.notebookOverlay .code-cell-row .view-lines').nth(1).click();
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
