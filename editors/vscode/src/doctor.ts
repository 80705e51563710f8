/** The command "Doctor": a page with the server that is used, where it was found, and the output of `dgls doctor`. */
import { spawn } from 'node:child_process';
import { homedir } from 'node:os';
import * as vscode from 'vscode';
import { withoutPythonSettings } from './environment';
import { isFound, locate, type Found, type Machine } from './locate';

const PAGE = vscode.Uri.parse('dgls-doctor:dgls doctor');

export class Doctor implements vscode.TextDocumentContentProvider, vscode.Disposable {
  private readonly changed = new vscode.EventEmitter<vscode.Uri>();
  readonly onDidChange = this.changed.event;
  private readonly providing = vscode.workspace.registerTextDocumentContentProvider(PAGE.scheme, this); // listens to it
  private text = '';

  provideTextDocumentContent(): string {
    return this.text;
  }

  async examine(machine: Machine): Promise<void> {
    this.show('', 'Looking ...\n');
    await vscode.window.showTextDocument(PAGE);
    const found = await locate(machine);
    if (isFound(found)) {
      await this.report(found, `Server from ${found.from}: ${[found.command, ...found.args].join(' ')}\n\n`);
    } else {
      this.show('', `${found.advice}\n`);
    }
  }

  dispose(): void {
    vscode.Disposable.from(this.providing, this.changed).dispose();
  }

  private async report({ command, args }: Found, head: string): Promise<void> {
    this.show('', head);
    const env = withoutPythonSettings(process.env);
    const child = spawn(command, [...args, 'doctor'], { cwd: homedir(), env, stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (output: string) => {
        this.show(this.text, output);
      });
    }
    await new Promise<void>((resolve) => {
      child.on('error', (error) => {
        this.show(this.text, `It does not start: ${error.message}\n`);
        resolve();
      });
      child.on('close', () => {
        resolve();
      });
    });
  }

  private show(before: string, more: string): void {
    this.text = before + more;
    this.changed.fire(PAGE);
  }
}
