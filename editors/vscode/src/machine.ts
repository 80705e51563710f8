/**
 * The real `Machine`: settings, the Python extension, the disk. Runs a Python only to find out whether it has dgls.
 */
import { execFile } from 'node:child_process';
import { accessSync, constants, statSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, isAbsolute, join } from 'node:path';
import * as vscode from 'vscode';
import { withoutPythonSettings } from './environment';
import type { Machine } from './locate';

const WINDOWS = process.platform === 'win32';
const PATIENCE_MS = 10_000;

/** The part of the Python extension's API that is used here. */
interface PythonApi {
  environments: {
    getActiveEnvironmentPath(): { path: string };
    resolveEnvironment(path: { path: string }): Promise<{ executable: { uri?: vscode.Uri } } | undefined>;
    onDidChangeActiveEnvironmentPath: vscode.Event<unknown>;
  };
}

export function thisMachine(own: string): Machine {
  return {
    setting: vscode.workspace.getConfiguration('dgls').get('server.path', '').trim(),
    home: homedir(),
    trusted: vscode.workspace.isTrusted,
    interpreter,
    hasServer: async (python) => (await runs(python, ['-E', '-P', '-c', 'import dgls.server'])) !== undefined,
    onPath,
    runnable,
    own,
  };
}

/** Calls the listener when the Python extension selects another interpreter; undefined without that extension. */
export async function onInterpreterChange(listener: () => void): Promise<vscode.Disposable | undefined> {
  return (await pythonApi())?.environments.onDidChangeActiveEnvironmentPath(listener);
}

/** What a program prints; undefined if it fails or takes too long. */
export function runs(program: string, args: string[]): Promise<string | undefined> {
  return new Promise((resolve) => {
    const env = withoutPythonSettings(process.env);
    execFile(program, args, { cwd: homedir(), env, timeout: PATIENCE_MS }, (error, printed) => {
      resolve(error === null ? printed : undefined);
    });
  });
}

/** Skips relative folders on PATH: their content depends on the workspace. */
export function onPath(program: string): string | undefined {
  const endings = WINDOWS ? ['.exe', '.cmd', '.bat'] : [''];
  const folders = (process.env.PATH ?? '').split(delimiter).filter(isAbsolute);
  return folders.flatMap((folder) => endings.map((ending) => join(folder, program + ending))).find(runnable);
}

function runnable(path: string): boolean {
  try {
    accessSync(path, WINDOWS ? constants.F_OK : constants.X_OK);
    return isAbsolute(path) && statSync(path).isFile();
  } catch {
    return false;
  }
}

async function interpreter(): Promise<string | undefined> {
  const environments = (await pythonApi())?.environments;
  const active = await environments?.resolveEnvironment(environments.getActiveEnvironmentPath());
  return active?.executable.uri?.fsPath;
}

async function pythonApi(): Promise<PythonApi | undefined> {
  return vscode.extensions.getExtension<PythonApi>('ms-python.python')?.activate();
}
