/**
 * Finds, starts, restarts and stops the server. Owns the language client, and tells listeners the server's state and
 * what it sends.
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
import {
  DRAFT,
  MODELS,
  STATUS,
  SUGGESTED,
  type ExperimentalCapabilities,
  type Draft,
  type Models,
  type Status,
  type Suggested,
} from './protocol';
import type { Life } from './status';

const CRASHES = 3;
const CRASHES_WITHIN_MS = 180_000;
const STOP_MS = 2000;
const EXPERIMENTAL: ExperimentalCapabilities = { dgls: { draft: true, suggested: true } };

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

  /** The client of a running server. */
  get running(): LanguageClient | undefined {
    return this.current.at === 'running' ? this.client : undefined;
  }

  /** Find and start the server, or do so again. Runs one at a time. */
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
      this.log.warn(`The server did not stop cleanly: ${String(error)}`);
    }
  }

  /** The settings changed: have the server request them again. */
  async settingsChanged(): Promise<void> {
    await this.running?.sendNotification(DidChangeConfigurationNotification.type, { settings: null });
  }

  /** The models on this machine; undefined without a running server. */
  async models(): Promise<Models | undefined> {
    return this.running?.sendRequest<Models>(MODELS, {});
  }

  dispose(): void {
    vscode.Disposable.from(this.lives, this.drafts, this.suggestions).dispose();
  }

  private async start(): Promise<void> {
    this.setLife({ at: 'looking' });
    await this.stop();
    const found = await locate(this.machine());
    if (!isFound(found)) {
      this.setLife({ at: 'failed', advice: found.advice, remedy: found.installable ? 'install' : 'settings' });
      return;
    }
    this.setLife({ at: 'starting', from: found.from });
    const client = this.made(found);
    this.client = client;
    try {
      await client.start();
    } catch (error) {
      if (this.client === client) {
        const advice = `${found.command} does not start (${String(error)}). The log says more.`;
        this.setLife({ at: 'failed', advice, remedy: 'log' });
      }
    }
  }

  private made(found: Found): LanguageClient {
    const options: LanguageClientOptions = {
      // The server announces which notebooks it follows; without the last filter it would not be asked about their cells.
      documentSelector: [{ scheme: 'file' }, { scheme: 'untitled' }, { scheme: 'vscode-notebook-cell' }],
      outputChannel: this.log,
      revealOutputChannelOn: RevealOutputChannelOn.Never,
      middleware: this.middleware,
      errorHandler: {
        error: () => ({ action: ErrorAction.Continue }),
        closed: () => ({ action: this.crashed(found), handled: true }),
      },
    };
    // In the home folder, because Python would import modules from the workspace.
    const surroundings = { cwd: homedir(), env: withoutPythonSettings(process.env) };
    const run = { command: found.command, args: [...found.args, 'serve'], options: surroundings };
    const client = new LanguageClient('dgls', 'dgls', { run, debug: run }, options);
    client.registerFeature({
      fillClientCapabilities: (capabilities) => {
        capabilities.experimental = { ...(capabilities.experimental as object | undefined), ...EXPERIMENTAL };
      },
      initialize: () => undefined,
      getState: () => ({ kind: 'static' }),
      clear: () => undefined,
    });
    const whileCurrent = (listener: () => void) => {
      if (this.client === client) {
        listener();
      }
    };
    client.onDidChangeState(({ newState }) => {
      whileCurrent(() => {
        if (newState === State.Running) {
          const version = client.initializeResult?.serverInfo?.version ?? 'unknown';
          this.log.info(`Server from ${found.from}: ${[found.command, ...found.args].join(' ')}, version ${version}`);
          this.setLife({ at: 'running', from: found.from, status: undefined });
        } else if (newState === State.Starting) {
          this.setLife({ at: 'starting', from: found.from });
        }
      });
    });
    client.onNotification(STATUS, (status: Status) => {
      whileCurrent(() => {
        this.setLife({ at: 'running', from: found.from, status });
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

  /** Restart at once, unless the server crashed several times within minutes. */
  private crashed(found: Found): CloseAction {
    const now = Date.now();
    this.crashes = [...this.crashes.filter((then) => now - then < CRASHES_WITHIN_MS), now];
    if (this.crashes.length <= CRASHES) {
      this.log.warn('The server ended. It is started again.');
      return CloseAction.Restart;
    }
    const advice = `${found.command} crashed ${this.crashes.length} times within minutes.`;
    this.setLife({ at: 'failed', advice, remedy: 'restart' });
    return CloseAction.DoNotRestart;
  }

  private setLife(life: Life): void {
    this.current = life;
    this.log.debug(JSON.stringify(life));
    this.lives.fire(life);
  }
}
