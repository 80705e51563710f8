/**
 * A real VS Code: its server as a process, and one browser to open windows in. Owns both, and the folders that they
 * write to. Knows nothing of dgls but where its extension and its server's program are.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { cpSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { chromium, type Browser, type Page } from 'playwright-core';

export interface Paths {
  /** VS Code's own folder, and the browser's program. */
  vscode: string;
  browser: string;
  /** A folder of this run's own. */
  work: string;
  /** The extension, unpacked as it is installed. */
  extension: string;
}

/** A window opens with `dgls.*` settings `machine`; `editor` are the workspace's. */
export interface Settings {
  machine: Record<string, unknown>;
  editor: Record<string, unknown>;
}

const PATIENCE_MS = 60_000;
const QUIET = {
  'chat.disableAIFeatures': true,
  'editor.minimap.enabled': false,
  'extensions.autoUpdate': false,
  'git.enabled': false,
  'telemetry.telemetryLevel': 'off',
  'window.commandCenter': false,
  'workbench.startupEditor': 'none',
  'workbench.tips.enabled': false,
  'workbench.colorTheme': 'Default Dark Modern',
};

export class Editor {
  readonly folder: string;
  private readonly paths: Paths;
  private server: ChildProcess | undefined;
  private browser: Browser | undefined;
  private port = 0;

  constructor(paths: Paths) {
    this.paths = paths;
    this.folder = join(paths.work, 'shop');
  }

  async start(files: Record<string, string>, settings: Settings): Promise<void> {
    const { work, vscode } = this.paths;
    const [data, user, extensions] = ['data', 'user', 'extensions'].map((name) => join(work, name)) as [
      string,
      string,
      string,
    ];
    rmSync(work, { recursive: true, force: true });
    for (const [name, content] of Object.entries(files)) {
      this.write(name, content);
    }
    this.write('.vscode/settings.json', JSON.stringify({ ...QUIET, ...settings.editor }));
    for (const folder of [join(data, 'data', 'Machine'), join(user, 'Machine')]) {
      mkdirSync(folder, { recursive: true });
      writeFileSync(join(folder, 'settings.json'), JSON.stringify({ ...QUIET, ...settings.machine }));
    }
    mkdirSync(extensions, { recursive: true });
    cpSync(this.paths.extension, join(extensions, 'dgls.dgls-0.1.0'), { recursive: true });
    this.port = await freePort();
    const flags = ['--without-connection-token', '--accept-server-license-terms', '--disable-workspace-trust'];
    const options = { 'telemetry-level': 'off', host: '127.0.0.1', port: String(this.port) };
    const folders = { 'server-data-dir': data, 'user-data-dir': user, 'extensions-dir': extensions };
    const given = Object.entries({ ...options, ...folders }).flatMap(([name, value]) => [`--${name}`, value]);
    const main = join(vscode, 'out', 'server-main.js');
    this.server = spawn(process.execPath, [main, ...flags, '--enable-smoke-test-driver', ...given], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    await listening(this.server);
    this.browser = await chromium.launch({
      executablePath: this.paths.browser,
      args: ['--no-sandbox', '--disable-gpu', '--force-color-profile=srgb'],
    });
  }

  /** A window on the folder, with `payload` for VS Code beside it; one at a time is enough for this machine. */
  async window(payload: [string, string][], size = { width: 1000, height: 620 }): Promise<Page> {
    if (this.browser === undefined) {
      throw new Error('start first');
    }
    const page = await this.browser.newPage({ viewport: size });
    await page.context().grantPermissions(['clipboard-read', 'clipboard-write']);
    await this.open(page, payload);
    return page;
  }

  async open(page: Page, payload: [string, string][]): Promise<void> {
    const query = new URLSearchParams({ folder: this.folder, payload: JSON.stringify(payload) });
    await page.goto(`http://127.0.0.1:${this.port}/?${query.toString()}`);
    await page.locator('.monaco-workbench').waitFor({ timeout: PATIENCE_MS });
  }

  /** The address by which a window knows a file of the folder. */
  uri(name: string): string {
    return `vscode-remote://127.0.0.1:${this.port}${join(this.folder, name)}`;
  }

  remote(path: string): string {
    return `vscode-remote://127.0.0.1:${this.port}${path}`;
  }

  write(name: string, content: string): void {
    const path = join(this.folder, name);
    mkdirSync(join(path, '..'), { recursive: true });
    writeFileSync(path, content);
  }

  async stop(): Promise<void> {
    await this.browser?.close();
    const ended = new Promise((resolve) => this.server?.once('exit', resolve));
    if (this.server?.kill() === true) {
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
