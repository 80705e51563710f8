// Gets a real VS Code (code-server's packages, which hold VS Code's own server) and the Node that it needs into the
// checkout's cache folder, builds the extension unless DGLS_VSIX names a built one, then runs the tests in it. Prints
// `SKIPPED: reason` where an editor can't be had, and succeeds unless DGLS_TESTS_NEED_EDITORS is set.
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { delimiter, join, resolve } from 'node:path';

const CODE_SERVER = 'code-server@4.139.1';
const NODE = '24.21.0';
const BROWSERS = ['chromium', 'chromium-browser', 'google-chrome-stable', 'google-chrome'];
const here = import.meta.dirname ?? resolve('e2e');
const cache = resolve(here, '..', '..', '..', '.cache', 'vscode');

function skip(reason) {
  console.log(`SKIPPED: ${reason}`);
  process.exit(process.env.DGLS_TESTS_NEED_EDITORS ? 1 : 0);
}

function onPath(names) {
  const folders = (process.env.PATH ?? '').split(delimiter);
  return names.flatMap((name) => folders.map((folder) => join(folder, name))).find((path) => existsSync(path));
}

function npm(args, cwd) {
  execFileSync('npm', ['--loglevel', 'error', '--no-audit', '--no-fund', ...args], {
    cwd,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
}

/** The folder of an unpacked package, whole or not there at all. */
function unpacked(name, finish) {
  const folder = join(cache, name.replace('@', '-'));
  if (existsSync(folder)) {
    return folder;
  }
  const raw = `${folder}.partial`;
  rmSync(raw, { recursive: true, force: true });
  mkdirSync(raw, { recursive: true });
  npm(['pack', name], raw);
  const archive = readdirSync(raw).find((each) => each.endsWith('.tgz'));
  execFileSync('tar', ['xzf', archive, '--strip-components=1'], { cwd: raw });
  rmSync(join(raw, archive));
  finish?.(raw);
  renameSync(raw, folder);
  return folder;
}

const browser = process.env.CHROMIUM ?? onPath(BROWSERS);
if (process.platform !== 'linux' || !['x64', 'arm64'].includes(process.arch)) {
  skip(`the packages are for Linux on x64 or arm64, this is ${process.platform} on ${process.arch}`);
}
if (browser === undefined) {
  skip('no Chromium on PATH (CHROMIUM=/path/to/chromium names one)');
}
let vscode;
let node;
try {
  node = join(unpacked(`node-linux-${process.arch}@${NODE}`), 'bin', 'node');
  vscode = unpacked(CODE_SERVER, (folder) => {
    for (const part of ['lib/vscode', 'lib/vscode/extensions']) {
      npm(['install', '--omit=dev', '--ignore-scripts'], join(folder, part));
    }
  });
} catch (error) {
  skip(`VS Code can't be had: ${error.message}`);
}

const root = resolve(cache, '..', '..');
if (process.env.DGLS_VSIX === undefined) {
  execFileSync('make', ['vscode'], { cwd: root, stdio: 'inherit' });
}
const { version } = JSON.parse(readFileSync(resolve(here, '..', 'package.json'), 'utf8'));
const built = { DGLS_VSIX: join(root, 'dist', `dgls-${version}.vsix`), VSCODE_PATH: join(vscode, 'lib', 'vscode') };
const env = { ...built, ...process.env, BROWSER_PATH: browser, OMP_NUM_THREADS: '1' };
const { status } = spawnSync(node, [join(here, 'run.ts'), ...process.argv.slice(2)], { env, stdio: 'inherit' });
process.exit(status ?? 1);
