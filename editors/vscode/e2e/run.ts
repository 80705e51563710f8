/** Runs the parts that are named, by default all of them, each in an editor of its own. */
import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { Editor } from './editor.ts';
import { feel } from './feel.ts';
import { hosted } from './hosted.ts';
import { offer } from './offer.ts';
import { pictures } from './pictures.ts';
import { Program, ROOT } from './scripted.ts';
import { ui } from './ui.ts';

const PARTS = { hosted, ui, offer, pictures, feel };

const build = join(import.meta.dirname, '..', 'build', 'e2e');
const folder = join(build, 'pictures');
const vsix = readdirSync(join(ROOT, 'dist')).find((name) => name.endsWith('.vsix'));
const { VSCODE_PATH: vscode, BROWSER_PATH: browser } = process.env;
if (vsix === undefined || vscode === undefined || browser === undefined) {
  throw new Error('run this by `make e2e-vscode`');
}

mkdirSync(folder, { recursive: true });
const named = process.argv.slice(2);
for (const [name, run] of Object.entries(PARTS)) {
  if (named.length === 0 || named.includes(name)) {
    const editor = new Editor({ vscode, browser, work: join(build, 'runs', name), vsix: join(ROOT, 'dist', vsix) });
    const program = new Program(join(build, 'runs', name));
    try {
      await run(editor, program, folder);
    } finally {
      await editor.stop();
    }
  }
}
