/**
 * The program that the extension runs in the tests: the real server, with a scripted engine (tests/e2e/fake_server.py)
 * or the model that the settings name. Reads from the engine's journal which requests reached it.
 */
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export const ROOT = join(import.meta.dirname, '..', '..', '..');
const PYTHON = join(ROOT, '.venv', 'bin', 'python');

/** Why the small model cannot run here; undefined if it can. */
export function noSmall(): string | undefined {
  const here = 'from dgls_engine.weights.small import small_folder; exit(small_folder() is None)';
  return python(here) === 0 ? undefined : 'the small model is not on this machine; `dgls models pull small` fetches it';
}

/** Does Python parse this text? */
export function parses(text: string): boolean {
  return python('import ast, sys; ast.parse(sys.stdin.buffer.read())', text) === 0;
}

function python(code: string, input = ''): number | null {
  const env = { ...process.env, PYTHONPATH: ROOT };
  return spawnSync(PYTHON, ['-P', '-c', code], { env, input }).status;
}

export interface Script {
  texts?: string[];
  steps?: number;
  step_ms?: number;
  confidence?: number;
  instructed?: boolean;
  fails?: string;
}

export interface Entry {
  event: string;
  path?: string;
  segments?: unknown[];
  seed?: number;
  instruction?: string;
}

export class Program {
  readonly path: string;
  private readonly journal: string;
  private readonly script: string;
  private readonly pid: string;

  constructor(folder: string) {
    this.path = join(folder, 'dgls');
    this.journal = join(folder, 'journal');
    this.script = join(folder, 'script.json');
    this.pid = join(folder, 'pid');
  }

  /** Servers that start later run this script, with an empty journal. */
  scripted(script: Script): void {
    rmSync(this.journal, { force: true });
    writeFileSync(this.script, JSON.stringify({ journal: this.journal, ...script }));
    const fake = join(ROOT, 'tests', 'e2e', 'fake_server.py');
    this.write(`if [ "$1" = serve ]; then exec "${PYTHON}" -P "${fake}" "$(cat "${this.script}")"; fi`);
  }

  /** Servers that start later run the model that the settings name. */
  real(): void {
    this.write('');
  }

  entries(event: string): Entry[] {
    return this.all().filter((entry) => entry.event === event);
  }

  /** The last lines of the journal. */
  lately(): Entry[] {
    return this.all().slice(-8);
  }

  /** The largest number of requests that the engine ran at once. */
  get mostAtOnce(): number {
    let running = 0;
    let most = 0;
    for (const { event } of this.all()) {
      running += event === 'infill' ? 1 : event === 'done' || event === 'cancelled' ? -1 : 0;
      most = Math.max(most, running);
    }
    return most;
  }

  get processId(): number {
    return Number(readFileSync(this.pid, 'utf8'));
  }

  private all(): Entry[] {
    const lines = existsSync(this.journal) ? readFileSync(this.journal, 'utf8').split('\n') : [];
    return lines.filter((line) => line !== '').map((line) => JSON.parse(line) as Entry);
  }

  private write(first: string): void {
    const head = `#!/bin/sh\nexport PYTHONPATH="${ROOT}" OMP_NUM_THREADS=1\n[ "$1" = serve ] && echo $$ > "${this.pid}"\n`;
    writeFileSync(this.path, `${head}${first}\nexec "${PYTHON}" -P -m dgls "$@"\n`);
    chmodSync(this.path, 0o755);
  }
}
