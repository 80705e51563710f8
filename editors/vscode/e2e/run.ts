/** Runs the parts that are named, by default all of them. Pictures of them land in build/e2e. */
import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { Editor } from './editor.ts';
import { feel } from './feel.ts';
import { hosted } from './hosted.ts';
import { pictures as pictured } from './pictures.ts';
import { Program, ROOT } from './scripted.ts';
import { ui } from './ui.ts';

const PARTS = { hosted, ui, feel, pictures: pictured };

const build = join(import.meta.dirname, '..', 'build', 'e2e');
const pictures = join(build, 'pictures');
const vsix = readdirSync(join(ROOT, 'dist')).find((name) => name.endsWith('.vsix'));
const { VSCODE_PATH: vscode, BROWSER_PATH: browser } = process.env;
if (vsix === undefined || vscode === undefined || browser === undefined) {
  throw new Error('run this by `make e2e-vscode`');
}

const named = process.argv.slice(2);
const editor = new Editor({ vscode, browser, work: join(build, 'run'), vsix: join(ROOT, 'dist', vsix) });
mkdirSync(pictures, { recursive: true });
const program = new Program(join(build, 'run'));
program.scripted({});
try {
  await editor.start({ 'dgls.server.path': program.path });
  for (const [name, run] of Object.entries(PARTS)) {
    if (named.length === 0 || named.includes(name)) {
      await run(editor, program, pictures);
    }
  }
} finally {
  await editor.stop();
}
