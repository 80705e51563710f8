/**
 * Installs the server's wheel that comes with the extension into a folder of its own, after the user agrees. The user's
 * pip fetches its dependencies, such as PyTorch.
 */
import { spawn } from 'node:child_process';
import { existsSync, readdirSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import * as vscode from 'vscode';
import { withoutPythonSettings } from './environment';
import { onPath, runs } from './machine';

const WINDOWS = process.platform === 'win32';
const PYTHONS = ['python3.13', 'python3.12', 'python3.11', 'python3', 'python'];
const FITS = 'import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info < (3, 14))';
const DECLINED = 'dgls.installDeclined';

export class Installer {
  private readonly folder: string;

  constructor(
    private readonly context: vscode.ExtensionContext,
    private readonly log: vscode.LogOutputChannel,
  ) {
    const { version } = context.extension.packageJSON as { version: string };
    this.folder = join(context.globalStorageUri.fsPath, `server-${version}`);
  }

  /** The path of the installed program; it may not exist yet. */
  get program(): string {
    return WINDOWS ? join(this.folder, 'Scripts', 'dgls.exe') : join(this.folder, 'bin', 'dgls');
  }

  /** Ask, then install; true if that worked. `unasked`: do not ask again if the user said no before. */
  async offer(unasked: boolean): Promise<boolean> {
    const wheel = this.wheel();
    if (wheel === undefined || (unasked && this.context.globalState.get(DECLINED) === this.folder)) {
      return false;
    }
    const question =
      `No dgls server was found. Install the one that comes with this extension (${wheel.name}) into a folder of its ` +
      'own? Your pip fetches what it needs, PyTorch above all: on Linux that may be several gigabytes.';
    const answer = await vscode.window.showInformationMessage(question, 'Install', 'Choose a Program...', 'No');
    if (answer === 'Choose a Program...') {
      await vscode.commands.executeCommand('workbench.action.openSettings', 'dgls.server.path');
    } else if (answer !== 'Install') {
      await this.context.globalState.update(DECLINED, this.folder);
    }
    return answer === 'Install' && (await this.install(wheel.path));
  }

  private wheel(): { name: string; path: string } | undefined {
    const folder = join(this.context.extensionPath, 'wheel');
    const name = existsSync(folder) ? readdirSync(folder).find((each) => each.endsWith('.whl')) : undefined;
    return name === undefined ? undefined : { name, path: join(folder, name) };
  }

  private async install(wheel: string): Promise<boolean> {
    const python = await findPython();
    if (python === undefined) {
      void vscode.window.showErrorMessage('dgls needs Python 3.11, 3.12 or 3.13 (with its venv module) on PATH.');
      return false;
    }
    const location = vscode.ProgressLocation.Notification;
    const options = { location, cancellable: true, title: 'Installing the dgls server' };
    return vscode.window.withProgress(options, async (progress, token) => {
      const inside = WINDOWS ? join(this.folder, 'Scripts', 'python.exe') : join(this.folder, 'bin', 'python');
      const pip = ['-m', 'pip', 'install', '--no-input', '--disable-pip-version-check', '--progress-bar', 'off', wheel];
      try {
        await this.run(python, ['-m', 'venv', '--clear', this.folder], progress, token);
        await this.run(inside, pip, progress, token);
        return true;
      } catch (error) {
        rmSync(this.folder, { recursive: true, force: true }); // the next start would find half an installation
        if (!token.isCancellationRequested) {
          this.log.error(String(error));
          void vscode.window.showErrorMessage(`The dgls server could not be installed: ${String(error)}`);
          this.log.show();
        }
        return false;
      }
    });
  }

  private run(
    program: string,
    args: string[],
    progress: vscode.Progress<{ message: string }>,
    token: vscode.CancellationToken,
  ): Promise<void> {
    this.log.info(`${program} ${args.join(' ')}`);
    return new Promise((resolve, reject) => {
      const env = withoutPythonSettings(process.env);
      const child = spawn(program, args, { cwd: homedir(), env, stdio: ['ignore', 'pipe', 'pipe'] });
      const stopping = token.onCancellationRequested(() => child.kill());
      for (const stream of [child.stdout, child.stderr]) {
        stream.setEncoding('utf8').on('data', (output: string) => {
          this.log.info(output.trimEnd());
          progress.report({ message: output.trim().split('\n').at(-1)?.slice(0, 80) ?? '' });
        });
      }
      child.on('error', reject);
      child.on('close', (code) => {
        stopping.dispose();
        if (code === 0) {
          resolve();
        } else {
          reject(new Error(`${args.slice(0, 3).join(' ')} ended with code ${code ?? 'none'}`));
        }
      });
    });
  }
}

async function findPython(): Promise<string | undefined> {
  for (const name of PYTHONS) {
    const found = onPath(name);
    if (found !== undefined && (await runs(found, ['-c', FITS])) !== undefined) {
      return found;
    }
  }
  return undefined;
}
