/**
 * A real VS Code: its server as a process, and a browser with its windows. Owns both, and the folders that they write
 * to. Installs the packaged extension as a user would; it knows nothing else of dgls.
 */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { chromium, type Browser, type Page } from 'playwright-core';

export interface Paths {
  /** VS Code's own folder, and the browser's program. */
  vscode: string;
  browser: string;
  /** A folder for this run, emptied first. */
  work: string;
  vsix: string;
}

type Settings = Record<string, unknown>;

const PATIENCE_MS = 60_000;
const QUIET: Settings = {
  'dgls.model': 'embedded', // the cases name it, and no server offers to fetch another
  'editor.minimap.enabled': false,
  'extensions.autoCheckUpdates': false,
  'extensions.autoUpdate': false,
  'extensions.ignoreRecommendations': true,
  'files.autoSave': 'off',
  'git.enabled': false,
  'telemetry.telemetryLevel': 'off',
  'workbench.secondarySideBar.defaultVisibility': 'hidden',
  'workbench.colorTheme': 'Default Dark Modern',
  'workbench.startupEditor': 'none',
};

/** Actions that VS Code has no keys for. */
const KEYS = [{ key: 'ctrl+shift+l', command: 'editor.action.inlineSuggest.acceptNextLine' }];

export class Editor {
  /** The workspace's folder. */
  readonly folder: string;
  private readonly paths: Paths;
  private server: ChildProcess | undefined;
  private browser: Browser | undefined;
  private port = 0;

  constructor(paths: Paths) {
    this.paths = paths;
    this.folder = join(paths.work, 'shop');
    rmSync(paths.work, { recursive: true, force: true });
    mkdirSync(this.folder, { recursive: true });
  }

  /** `settings`: the user's. `environment` is added to this process' own. */
  async start(settings: Settings, environment: Record<string, string> = {}): Promise<void> {
    const { work, vscode, vsix, browser } = this.paths;
    const main = join(vscode, 'out', 'server-main.js');
    const folders = ['--server-data-dir', join(work, 'server'), '--extensions-dir', join(work, 'extensions')];
    const agreed = '--accept-server-license-terms';
    // VS Code's server lacks its native modules here, so it prints errors to stderr and logs nothing
    execFileSync(process.execPath, [main, '--install-extension', vsix, ...folders, agreed], { stdio: 'pipe' });
    for (const whose of ['User', 'Machine']) {
      this.write(`../user/${whose}/settings.json`, JSON.stringify({ ...QUIET, ...settings })); // each has its own scopes
    }
    this.write('../user/User/keybindings.json', JSON.stringify(KEYS));
    this.port = await freePort();
    const flags = ['--without-connection-token', agreed, '--disable-workspace-trust', '--enable-smoke-test-driver'];
    const where = ['--host', '127.0.0.1', '--port', String(this.port), '--user-data-dir', join(work, 'user')];
    this.server = spawn(process.execPath, [main, ...flags, '--telemetry-level', 'off', ...where, ...folders], {
      env: { ...process.env, ...environment, DGLS_E2E_WORK: work },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    await listening(this.server);
    this.browser = await chromium.launch({ executablePath: browser, args: ['--no-sandbox', '--disable-gpu'] });
  }

  /** A window on the folder, with `payload` for VS Code beside it. */
  async window(payload: [string, string][], prepare?: (page: Page) => Promise<unknown>): Promise<Page> {
    if (this.browser === undefined) {
      throw new Error('start first');
    }
    const page = await this.browser.newPage({ viewport: { width: 1000, height: 600 } });
    await prepare?.(page);
    const query = new URLSearchParams({ folder: this.folder, payload: JSON.stringify(payload) });
    await page.goto(`http://127.0.0.1:${this.port}/?${query.toString()}`);
    await page.locator('.monaco-workbench').waitFor({ timeout: PATIENCE_MS });
    return page;
  }

  /** The URI of a path of this machine inside a window. */
  remote(path: string): string {
    return `vscode-remote://127.0.0.1:${this.port}${path}`;
  }

  /** Where the extension was installed to. */
  get installed(): string {
    const folder = join(this.paths.work, 'extensions');
    const name = readdirSync(folder).find((each) => each.startsWith('dgls.dgls-'));
    return join(folder, name ?? '');
  }

  path(name: string): string {
    return join(this.folder, name);
  }

  write(name: string, content: string): void {
    mkdirSync(join(this.path(name), '..'), { recursive: true });
    writeFileSync(this.path(name), content);
  }

  read(name: string): string {
    return readFileSync(this.path(name), 'utf8');
  }

  async stop(): Promise<void> {
    await this.browser?.close();
    const { server } = this;
    if (server?.exitCode === null) {
      const ended = new Promise((resolve) => server.once('exit', resolve));
      server.kill();
      await ended;
    }
  }
}

async function freePort(): Promise<number> {
  const probe = createServer();
  await new Promise<void>((resolve) => probe.listen(0, '127.0.0.1', resolve));
  const address = probe.address();
  await new Promise((resolve) => probe.close(resolve));
  if (address === null || typeof address === 'string') {
    throw new Error('no port');
  }
  return address.port;
}

function listening(server: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    let said = '';
    const listen = (part: Buffer) => {
      said += part.toString();
      if (said.includes('listening on')) {
        resolve();
      }
    };
    server.stdout?.on('data', listen);
    server.stderr?.on('data', listen);
    server.once('exit', (code) => {
      reject(new Error(`VS Code's server ended with code ${code ?? 'none'}: ${said}`));
    });
  });
}
