/** The command "Doctor": which server is used and why, and what `dgls doctor` says of the machine. */
import { spawn } from 'node:child_process';
import { homedir } from 'node:os';
import * as vscode from 'vscode';
import { isFound, locate, type Machine } from './locate';

export async function doctor(machine: Machine, channel: vscode.OutputChannel): Promise<void> {
  channel.clear();
  channel.show(true);
  const found = await locate(machine);
  if (!isFound(found)) {
    channel.appendLine(found.advice);
    return;
  }
  channel.appendLine(`Server from ${found.from}: ${[found.command, ...found.args].join(' ')}\n`);
  const child = spawn(found.command, [...found.args, 'doctor'], { cwd: homedir(), stdio: ['ignore', 'pipe', 'pipe'] });
  await new Promise<void>((resolve) => {
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (said: string) => {
        channel.append(said);
      });
    }
    child.on('error', (error) => {
      channel.appendLine(`It does not run: ${error.message}`);
      resolve();
    });
    child.on('close', () => {
      resolve();
    });
  });
}
