/**
 * Where the server is: the setting, else the Python extension's interpreter, else PATH, else what this extension
 * installed. Says which, and for each place why not. Knows neither VS Code nor the disk: a `Machine` looks.
 */

export interface Machine {
  /** The setting `dgls.server.path`, empty where there is none. */
  setting: string;
  home: string;
  /** May what the workspace brings along be run? */
  trusted: boolean;
  /** The interpreter that the Python extension has selected; undefined without one. */
  interpreter(): Promise<string | undefined>;
  /** Can this interpreter run dgls? */
  hasServer(interpreter: string): Promise<boolean>;
  /** The first program of this name on PATH. */
  onPath(program: string): string | undefined;
  runnable(path: string): boolean;
  /** The program that this extension installs. */
  own: string;
}

/** `command` and `args` run dgls; its subcommand comes after them. `from` tells people where it was found. */
export interface Found {
  command: string;
  args: string[];
  from: string;
}

/** `installable`: nothing was found, and nobody named a program that isn't there. */
export interface Missing {
  advice: string;
  installable: boolean;
}

export async function locate(machine: Machine): Promise<Found | Missing> {
  if (machine.setting !== '') {
    const path = machine.setting.startsWith('~/') ? machine.home + machine.setting.slice(1) : machine.setting;
    if (machine.runnable(path)) {
      return { command: path, args: [], from: 'the setting' };
    }
    const advice = `The setting dgls.server.path names ${path}, which is no program. Correct it, or leave it empty.`;
    return { advice, installable: false };
  }
  const interpreter = machine.trusted ? await machine.interpreter() : undefined;
  if (interpreter !== undefined && (await machine.hasServer(interpreter))) {
    // Neither PYTHONPATH and its like (-E) nor the folder that it happens to start in (-P) are searched for modules.
    return { command: interpreter, args: ['-E', '-P', '-m', 'dgls'], from: 'the Python extension' };
  }
  const onPath = machine.onPath('dgls');
  if (onPath !== undefined) {
    return { command: onPath, args: [], from: 'PATH' };
  }
  if (machine.runnable(machine.own)) {
    return { command: machine.own, args: [], from: 'this extension' };
  }
  const python =
    interpreter !== undefined
      ? `in the Python extension's ${interpreter}`
      : machine.trusted
        ? 'in a Python extension'
        : 'in the workspace, which is not trusted';
  return { advice: `No server found: none in dgls.server.path, ${python} or on PATH.`, installable: true };
}

export function isFound(found: Found | Missing): found is Found {
  return 'command' in found;
}
