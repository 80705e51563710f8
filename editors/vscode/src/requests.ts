/**
 * Sends the commands of docs/protocol.md, one at a time, shows their progress, and lets the user cancel them. If a
 * command has no result, the server shows why.
 */
import * as vscode from 'vscode';
import {
  CancellationTokenSource,
  ExecuteCommandRequest,
  LSPErrorCodes,
  ResponseError,
  WorkDoneProgress,
  type LanguageClient,
  type WorkDoneProgressBegin,
  type WorkDoneProgressEnd,
  type WorkDoneProgressReport,
} from 'vscode-languageclient/node';
import type { Filling, Result, Rewriting } from './protocol';
import type { Server } from './server';
import { setContext } from './statusItem';

const SHOWN_AFTER_MS = 500;

export class Requests implements vscode.Disposable {
  private current: CancellationTokenSource | undefined;
  private count = 0;

  constructor(
    private readonly server: Server,
    private readonly log: vscode.LogOutputChannel,
  ) {}

  rewrite(rewriting: Rewriting): Promise<Result | undefined> {
    return this.run('dgls.rewrite', rewriting, rewriting.strength === undefined ? 'Rewriting' : 'Refining');
  }

  fill(filling: Filling): Promise<Result | undefined> {
    return this.run('dgls.fill', filling, filling.all ? 'Filling all holes' : 'Filling');
  }

  /** Cancel the running command; the document does not change. */
  cancel(): void {
    this.current?.cancel();
  }

  dispose(): void {
    this.cancel();
  }

  /** The result; undefined without one, and then a message said why. */
  private async run(command: string, parameters: object, title: string): Promise<Result | undefined> {
    const client = this.server.running;
    if (client === undefined) {
      void vscode.window.showErrorMessage('The dgls server is not running: the braces in the status bar say why.');
      return undefined;
    }
    this.cancel();
    const source = (this.current = new CancellationTokenSource());
    setContext('dgls.busy', true);
    try {
      return await this.send(client, command, parameters, title, source);
    } catch (error) {
      if (!(error instanceof ResponseError && error.code === LSPErrorCodes.RequestCancelled)) {
        this.log.error(`${command}: ${String(error)}`);
        void vscode.window.showErrorMessage(
          `dgls changed nothing: ${error instanceof Error ? error.message : command}`,
        );
      }
      return undefined;
    } finally {
      if (this.current === source) {
        this.current = undefined;
        setContext('dgls.busy', false);
      }
      source.dispose();
    }
  }

  private async send(
    client: LanguageClient,
    command: string,
    parameters: object,
    title: string,
    source: CancellationTokenSource,
  ): Promise<Result> {
    const workDoneToken = `dgls-${(this.count += 1)}`;
    const request = { command, arguments: [parameters], workDoneToken };
    const answer = client.sendRequest(ExecuteCommandRequest.type, request, source.token) as Promise<Result>;
    const bar = new Bar(title, source);
    const following = client.onProgress(WorkDoneProgress.type, workDoneToken, (value) => {
      bar.report(value);
    });
    try {
      return await answer;
    } finally {
      following.dispose();
      bar.end();
    }
  }
}

/** A progress notification with a cancel button, shown after half a second. */
class Bar {
  private readonly timer: NodeJS.Timeout;
  private readonly over: Promise<void>;
  private finish: () => void = () => undefined;
  private progress: vscode.Progress<{ message?: string; increment?: number }> | undefined;
  private percent = 0;

  constructor(title: string, source: CancellationTokenSource) {
    const options = { location: vscode.ProgressLocation.Notification, cancellable: true, title: `dgls: ${title}` };
    this.over = new Promise((resolve) => {
      this.finish = resolve;
    });
    this.timer = setTimeout(() => {
      void vscode.window.withProgress(options, (progress, token) => {
        this.progress = progress;
        token.onCancellationRequested(() => {
          source.cancel();
        });
        return this.over;
      });
    }, SHOWN_AFTER_MS);
  }

  report(value: WorkDoneProgressBegin | WorkDoneProgressReport | WorkDoneProgressEnd): void {
    const percent = value.kind === 'end' ? undefined : value.percentage;
    const increment = percent === undefined ? 0 : percent - this.percent;
    this.percent += increment;
    this.progress?.report({ increment, ...(value.message === undefined ? {} : { message: value.message }) });
  }

  end(): void {
    clearTimeout(this.timer);
    this.finish();
  }
}
