/**
 * The status items behind the braces in the status bar: one for the server, one for the last suggestion. Also sets the
 * context keys that menus and key bindings depend on.
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

  /** What the item shows now. */
  get shown(): Shown {
    return shown(this.life, this.pauses.reason(vscode.window.activeTextEditor?.document));
  }

  dispose(): void {
    vscode.Disposable.from(this.server, this.suggestion, ...this.listening).dispose();
  }

  private paint(): void {
    paint(this.server, this.shown);
    const state = this.life.at === 'running' ? this.life.status?.state : undefined;
    setContext('dgls.running', this.life.at === 'running');
    setContext('dgls.ready', state !== undefined && state !== 'loading' && state !== 'failed');
    setContext('dgls.paused', this.pauses.reason(vscode.window.activeTextEditor?.document) !== '');
  }
}

export function setContext(key: string, value: boolean): void {
  void vscode.commands.executeCommand('setContext', key, value);
}

/** A longer line would push the button out of sight. */
function brief(detail: string): string {
  return detail.length <= DETAIL ? detail : `${detail.slice(0, DETAIL - 1)}…`;
}

function paint(item: vscode.LanguageStatusItem, shown: Shown): void {
  item.text = shown.text;
  item.detail = brief(shown.detail);
  item.severity = SEVERITIES[shown.severity];
  item.busy = shown.busy;
  item.command = shown.button;
}
