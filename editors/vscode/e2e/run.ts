/** Runs the named parts, by default all tests, each in its own editor. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { Editor } from './editor.ts';
import { feel } from './feel.ts';
import { hosted } from './hosted.ts';
import { nextEdit } from './nextEdit.ts';
import { notebook } from './notebook.ts';
import { offer } from './offer.ts';
import { pictures } from './pictures.ts';
import { Program } from './scripted.ts';
import { small } from './small.ts';
import { ui } from './ui.ts';

type Part = (editor: Editor, program: Program, pictures: string) => Promise<void>;
type Parts = Record<string, Part>;

const TESTS: Parts = { hosted, ui, nextEdit, notebook, small, offer };
/** Run by name only: they depend on what the model writes, so they are no tests. */
const SHOWN: Parts = { pictures, feel };

const build = join(import.meta.dirname, '..', 'build', 'e2e');
const folder = join(build, 'pictures');
const { DGLS_VSIX: vsix, VSCODE_PATH: vscode, BROWSER_PATH: browser } = process.env;
if (vsix === undefined || vscode === undefined || browser === undefined) {
  throw new Error('run this by `make e2e-vscode`');
}

const paths = { vsix, vscode, browser };
mkdirSync(folder, { recursive: true });
const named = process.argv.slice(2);
for (const name of named.length === 0 ? Object.keys(TESTS) : named) {
  const part = { ...TESTS, ...SHOWN }[name];
  if (part === undefined) {
    throw new Error(`there is no part ${name}`);
  }
  try {
    await inItsOwnEditor(name, part);
  } catch (error) {
    console.log(`FAILED ONCE: ${name}, which is tried once more`, error);
    await inItsOwnEditor(name, part);
  }
}

async function inItsOwnEditor(name: string, part: Part): Promise<void> {
  const work = join(build, 'runs', name);
  const editor = new Editor({ ...paths, work });
  try {
    await part(editor, new Program(work), folder);
  } finally {
    await editor.stop();
  }
}
