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

const TESTS = { hosted, ui, nextEdit, notebook, small, offer };
/** Run by name only: they depend on what the model writes, so they are no tests. */
const SHOWN = { pictures, feel };

const build = join(import.meta.dirname, '..', 'build', 'e2e');
const folder = join(build, 'pictures');
const { DGLS_VSIX: vsix, VSCODE_PATH: vscode, BROWSER_PATH: browser } = process.env;
if (vsix === undefined || vscode === undefined || browser === undefined) {
  throw new Error('run this by `make e2e-vscode`');
}

mkdirSync(folder, { recursive: true });
const named = process.argv.slice(2);
for (const [name, run] of Object.entries({ ...TESTS, ...SHOWN })) {
  if (named.length === 0 ? name in TESTS : named.includes(name)) {
    const editor = new Editor({ vscode, browser, work: join(build, 'runs', name), vsix });
    const program = new Program(join(build, 'runs', name));
    try {
      await run(editor, program, folder);
    } finally {
      await editor.stop();
    }
  }
}
