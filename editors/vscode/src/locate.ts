/**
 * Finds the server: in the setting, else in the Python extension's interpreter, else on PATH, else where this extension
 * installed it. If there is none, says where it looked. Knows neither VS Code nor the disk: a `Machine` looks.
 */

export interface Machine {
  /** The setting `dgls.server.path`; empty if it is not set. */
  setting: string;
  home: string;
  /** Whether programs of the workspace may run. */
  trusted: boolean;
  /** The interpreter that the Python extension has selected; undefined without one. */
  interpreter(): Promise<string | undefined>;
  /** Whether this interpreter can run dgls. */
  hasServer(interpreter: string): Promise<boolean>;
  /** The first program of this name on PATH. */
  onPath(program: string): string | undefined;
  runnable(path: string): boolean;
  /** The program that this extension installs. */
  own: string;
}

/** `command` and `args` run dgls; its subcommand follows them. `from`: where it was found, for people. */
export interface Found {
  command: string;
  args: string[];
  from: string;
}

/** `installable`: an installation would help. It would not if the setting names a missing program. */
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
    const advice = `The setting dgls.server.path names ${path}, which is not a program. Correct it, or leave it empty.`;
    return { advice, installable: false };
  }
  const interpreter = machine.trusted ? await machine.interpreter() : undefined;
  if (interpreter !== undefined && (await machine.hasServer(interpreter))) {
    // Python then ignores PYTHONPATH and the like (-E) and imports nothing from the current folder (-P).
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
