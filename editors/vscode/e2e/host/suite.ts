/**
 * Runs inside VS Code's extension host, beside the installed extension: commands, settings, status, and a killed
 * server. `run` throws at the first case that fails.
 */
import assert from 'node:assert/strict';
import * as vscode from 'vscode';
import type { Api } from '../../src/extension.ts';
import { Program } from '../scripted.ts';

const PATIENCE_MS = 20_000;
const { DGLS_E2E_WORK: work = '' } = process.env;
const program = new Program(work);

const CASES: [string, (api: Api) => Promise<void>][] = [
  [
    'all commands are there',
    async () => {
      const there = new Set(await vscode.commands.getCommands(true));
      const { contributes } = extension().packageJSON as { contributes: { commands: { command: string }[] } };
      assert.deepEqual(
        contributes.commands.filter(({ command }) => !there.has(command)),
        [],
      );
    },
  ],
  [
    'the status names model, device, memory and the server that was found',
    async (api) => {
      await until('ready', () => api.status.text === 'dgls: ready (fake embedded · cpu · 1 MB)', api);
      assert.equal(api.status.detail, 'server from the setting');
      assert.equal(api.status.button.command, 'dgls.pause');
    },
  ],
  [
    'a language is paused by a setting of its own, and resumed',
    async (api) => {
      const document = await vscode.workspace.openTextDocument({ language: 'python', content: 'x = 1\n' });
      await vscode.window.showTextDocument(document);
      const settings = vscode.workspace.getConfiguration('dgls', document);
      await settings.update('inlineCompletion.enabled', false, vscode.ConfigurationTarget.Global, true);
      await until('paused', () => api.status.text === 'dgls: paused in python files', api);
      const other = await vscode.workspace.openTextDocument({ language: 'go', content: 'package main\n' });
      await vscode.window.showTextDocument(other);
      await until('not in Go', () => api.status.text.startsWith('dgls: ready'), api);
      await vscode.window.showTextDocument(document);
      await vscode.commands.executeCommand('dgls.resume');
      await until('resumed', () => api.status.text.startsWith('dgls: ready'), api);
    },
  ],
  [
    'the workspace is paused by its settings, and resumed',
    async (api) => {
      const settings = vscode.workspace.getConfiguration('dgls');
      await settings.update('inlineCompletion.enabled', false, vscode.ConfigurationTarget.Workspace);
      await until('paused', () => api.status.text === 'dgls: paused in this workspace', api);
      assert.equal(api.status.button.command, 'dgls.resume');
      await vscode.commands.executeCommand('dgls.resume');
      await until('resumed', () => api.status.text.startsWith('dgls: ready'), api);
    },
  ],
  [
    'a server that is killed is started again',
    async (api) => {
      const before = program.processId;
      process.kill(before, 'SIGKILL');
      await until('another process', () => program.processId !== before, api);
      await until('ready again', () => api.status.text.startsWith('dgls: ready'), api);
    },
  ],
  [
    'one that is killed over and over is given up, with a button that starts it',
    async (api) => {
      for (let times = 0; times < 3; times += 1) {
        const before = program.processId;
        process.kill(before, 'SIGKILL');
        await until('gone', () => !alive(before), api);
        await until('another, or none', () => program.processId !== before || api.status.severity === 'error', api);
        await until('settled', () => /ready|failed/.test(api.status.text), api);
      }
      await until('given up', () => api.status.text === 'dgls: failed', api);
      assert.equal(api.status.button.command, 'dgls.restart');
      await vscode.commands.executeCommand('dgls.restart');
      await until('ready again', () => api.status.text.startsWith('dgls: ready'), api);
    },
  ],
  [
    'a model that does not open is a failure with advice and a button',
    async (api) => {
      program.scripted({ fails: 'No model is called so: see `dgls models`.' });
      await vscode.commands.executeCommand('dgls.restart');
      await until('failed', () => api.status.detail.includes('see `dgls models`'), api);
      assert.deepEqual([api.status.severity, api.status.button.title], ['error', 'Open the settings']);
      program.scripted({});
      await vscode.commands.executeCommand('dgls.restart');
      await until('ready again', () => api.status.text.startsWith('dgls: ready'), api);
    },
  ],
  [
    'a program that is not there is named, and another one taken once the setting is right',
    async (api) => {
      const settings = vscode.workspace.getConfiguration('dgls');
      await settings.update('server.path', '/gone/dgls', vscode.ConfigurationTarget.Workspace);
      await until('failed', () => api.status.detail.includes('/gone/dgls'), api);
      await settings.update('server.path', undefined, vscode.ConfigurationTarget.Workspace);
      await until('ready again', () => api.status.text.startsWith('dgls: ready'), api);
    },
  ],
  [
    'settings reach the server: another model is opened',
    async (api) => {
      const settings = vscode.workspace.getConfiguration('dgls');
      await settings.update('model', 'another', vscode.ConfigurationTarget.Workspace);
      await until('the other model', () => api.status.text.includes('fake another'), api);
      await settings.update('model', undefined, vscode.ConfigurationTarget.Workspace);
      await until('the first one', () => api.status.text.includes('fake embedded'), api);
    },
  ],
  [
    'Doctor says which server runs, and what the machine has',
    async (api) => {
      await vscode.commands.executeCommand('dgls.doctor');
      const said = () =>
        vscode.workspace.textDocuments.find(({ uri }) => uri.scheme === 'dgls-doctor')?.getText() ?? '';
      await until('the report', () => /Server from the setting: .*dgls[^]*torch/.test(said()), api);
    },
  ],
  [
    'the example opens where a suggestion goes',
    async () => {
      await vscode.commands.executeCommand('dgls.tryIt');
      const editor = vscode.window.activeTextEditor;
      assert.ok(editor?.document.lineAt(editor.selection.active).text.endsWith('self.items.'));
    },
  ],
];

export async function run(): Promise<void> {
  const api = await extension().activate();
  for (const [name, check] of CASES) {
    try {
      await check(api);
    } catch (error) {
      console.log(`failed: ${name}: ${String(error)}`);
      throw error;
    }
    console.log(`ok: ${name}`);
  }
}

function extension(): vscode.Extension<Api> {
  const found = vscode.extensions.getExtension<Api>('dgls.dgls');
  assert.ok(found, 'the extension is not installed');
  return found;
}

function alive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

async function until(what: string, holds: () => boolean, api: Api): Promise<void> {
  const end = Date.now() + PATIENCE_MS;
  while (!holds()) {
    assert.ok(Date.now() < end, `not seen: ${what}, but ${JSON.stringify(api.status)}`);
    await new Promise((resolve) => setTimeout(resolve, 30));
  }
}
