/**
 * The server's life: found, started, restarted after a crash, stopped. Owns the language client; tells its listeners
 * where things stand. What is done with suggestions and drafts on the way is handed in.
 */
import { homedir } from 'node:os';
import * as vscode from 'vscode';
import {
  CloseAction,
  DidChangeConfigurationNotification,
  ErrorAction,
  LanguageClient,
  RevealOutputChannelOn,
  State,
  type LanguageClientOptions,
  type Middleware,
} from 'vscode-languageclient/node';
import { withoutPythonSettings } from './environment';
import { isFound, locate, type Found, type Machine } from './locate';
import { DRAFT, STATUS, SUGGESTED, type Asked, type Draft, type Status, type Suggested } from './protocol';
import type { Life } from './status';

const CRASHES = 3;
const CRASHES_WITHIN_MS = 180_000;
const STOP_MS = 2000;
const ASKED: Asked = { dgls: { draft: true, suggested: true } };

export class Server implements vscode.Disposable {
  private readonly lives = new vscode.EventEmitter<Life>();
  private readonly drafts = new vscode.EventEmitter<Draft>();
  private readonly suggestions = new vscode.EventEmitter<Suggested>();
  private client: LanguageClient | undefined;
  private turn = Promise.resolve();
  private crashes: number[] = [];
  private current: Life = { at: 'looking' };

  readonly onLife = this.lives.event;
  readonly onDraft = this.drafts.event;
  readonly onSuggested = this.suggestions.event;

  constructor(
    private readonly machine: () => Machine,
    private readonly middleware: Middleware,
    private readonly log: vscode.LogOutputChannel,
  ) {}

  get life(): Life {
    return this.current;
  }

  /** The client of a server that runs. */
  get running(): LanguageClient | undefined {
    return this.current.at === 'running' ? this.client : undefined;
  }

  /** Start, or start anew: the server is looked for again. One at a time. */
  restart(): Promise<void> {
    this.crashes = [];
    this.turn = this.turn.then(() => this.start());
    return this.turn;
  }

  async stop(): Promise<void> {
    const client = this.client;
    this.client = undefined;
    try {
      await client?.dispose(STOP_MS);
    } catch (error) {
      this.log.warn(`The server did not stop as it should: ${String(error)}`);
    }
  }

  /** The settings changed: the server fetches them again. */
  async settingsChanged(): Promise<void> {
    await this.running?.sendNotification(DidChangeConfigurationNotification.type, { settings: null });
  }

  dispose(): void {
    vscode.Disposable.from(this.lives, this.drafts, this.suggestions).dispose();
  }

  private async start(): Promise<void> {
    this.tell({ at: 'looking' });
    await this.stop();
    const found = await locate(this.machine());
    if (!isFound(found)) {
      this.tell({ at: 'failed', advice: found.advice, remedy: found.installable ? 'install' : 'settings' });
      return;
    }
    this.tell({ at: 'starting', from: found.from });
    const client = this.made(found);
    this.client = client;
    try {
      await client.start();
    } catch (error) {
      if (this.client === client) {
        const advice = `${found.command} does not start (${String(error)}). The log says more.`;
        this.tell({ at: 'failed', advice, remedy: 'log' });
      }
    }
  }

  private made(found: Found): LanguageClient {
    const options: LanguageClientOptions = {
      documentSelector: [{ scheme: 'file' }, { scheme: 'untitled' }],
      outputChannel: this.log,
      revealOutputChannelOn: RevealOutputChannelOn.Never,
      middleware: this.middleware,
      errorHandler: {
        error: () => ({ action: ErrorAction.Continue }),
        closed: () => ({ action: this.crashed(found), handled: true }),
      },
    };
    // in the home folder: a program started in the workspace may take the workspace's files for its own
    const surroundings = { cwd: homedir(), env: withoutPythonSettings(process.env) };
    const run = { command: found.command, args: [...found.args, 'serve'], options: surroundings };
    const client = new LanguageClient('dgls', 'dgls', { run, debug: run }, options);
    client.registerFeature({
      fillClientCapabilities: (capabilities) => {
        capabilities.experimental = { ...(capabilities.experimental as object | undefined), ...ASKED };
      },
      initialize: () => undefined,
      getState: () => ({ kind: 'static' }),
      clear: () => undefined,
    });
    const mine = (listener: () => void) => {
      if (this.client === client) {
        listener();
      }
    };
    client.onDidChangeState(({ newState }) => {
      mine(() => {
        if (newState === State.Running) {
          const version = client.initializeResult?.serverInfo?.version ?? 'unknown';
          this.log.info(`Server from ${found.from}: ${[found.command, ...found.args].join(' ')}, version ${version}`);
          this.tell({ at: 'running', from: found.from, told: undefined });
        } else if (newState === State.Starting) {
          this.tell({ at: 'starting', from: found.from });
        }
      });
    });
    client.onNotification(STATUS, (told: Status) => {
      mine(() => {
        this.tell({ at: 'running', from: found.from, told });
      });
    });
    client.onNotification(DRAFT, (draft: Draft) => {
      this.drafts.fire(draft);
    });
    client.onNotification(SUGGESTED, (last: Suggested) => {
      this.suggestions.fire(last);
    });
    return client;
  }

  /** Started again at once, unless that was of no use a few times already. */
  private crashed(found: Found): CloseAction {
    const now = Date.now();
    this.crashes = [...this.crashes.filter((then) => now - then < CRASHES_WITHIN_MS), now];
    if (this.crashes.length <= CRASHES) {
      this.log.warn('The server is gone; it is started again.');
      return CloseAction.Restart;
    }
    const advice = `${found.command} went down ${this.crashes.length} times within minutes.`;
    this.tell({ at: 'failed', advice, remedy: 'restart' });
    return CloseAction.DoNotRestart;
  }

  private tell(life: Life): void {
    this.current = life;
    this.log.debug(JSON.stringify(life));
    this.lives.fire(life);
  }
}
