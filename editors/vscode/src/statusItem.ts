/**
 * The status items behind the braces in the status bar: one for the server, one for the last suggestion. Owns what
 * they show and the context keys that other contributions go by.
 */
import * as vscode from 'vscode';
import type { Pauses } from './pauses';
import type { Suggested } from './protocol';
import { lastShown, shown, type Life, type Shown } from './status';

const SEVERITIES = {
  information: vscode.LanguageStatusSeverity.Information,
  warning: vscode.LanguageStatusSeverity.Warning,
  error: vscode.LanguageStatusSeverity.Error,
};

const DETAIL = 48;

export class StatusItem implements vscode.Disposable {
  private readonly server = vscode.languages.createLanguageStatusItem('dgls.server', '*');
  private readonly suggestion = vscode.languages.createLanguageStatusItem('dgls.suggestion', '*');
  private readonly listening: vscode.Disposable[];
  private life: Life = { at: 'looking' };

  constructor(private readonly pauses: Pauses) {
    this.server.name = 'dgls';
    this.suggestion.name = 'dgls: last suggestion';
    this.suggested(undefined);
    const repaint = () => {
      this.paint();
    };
    this.listening = [pauses.onChange(repaint), vscode.window.onDidChangeActiveTextEditor(repaint)];
    this.paint();
  }

  follow(life: Life): void {
    this.life = life;
    this.paint();
  }

  suggested(last: Suggested | undefined): void {
    paint(this.suggestion, lastShown(last));
  }

  /** What the item shows now, for the tests. */
  get shown(): Shown {
    return shown(this.life, this.pauses.reason(vscode.window.activeTextEditor?.document));
  }

  dispose(): void {
    vscode.Disposable.from(this.server, this.suggestion, ...this.listening).dispose();
  }

  private paint(): void {
    paint(this.server, this.shown);
    const state = this.life.at === 'running' ? this.life.told?.state : undefined;
    setContext('dgls.running', this.life.at === 'running');
    setContext('dgls.ready', state !== undefined && state !== 'loading' && state !== 'failed');
    setContext('dgls.paused', this.pauses.reason(vscode.window.activeTextEditor?.document) !== '');
  }
}

export function setContext(key: string, value: boolean): void {
  void vscode.commands.executeCommand('setContext', key, value);
}

/** A line too long would push the button out of sight. */
function brief(detail: string): string {
  return detail.length <= DETAIL ? detail : `${detail.slice(0, DETAIL - 1)}…`;
}

function paint(item: vscode.LanguageStatusItem, what: Shown): void {
  item.text = what.text;
  item.detail = brief(what.detail);
  item.severity = SEVERITIES[what.severity];
  item.busy = what.busy;
  item.command = what.button;
}
