/**
 * Pauses automatic suggestions: in one language or in the workspace (both are settings, so they last), or everywhere
 * for some minutes.
 */
import * as vscode from 'vscode';

const MINUTES = [5, 15, 60];
const LONGEST_MINUTES = 24 * 60;
const ENABLED = 'inlineCompletion.enabled';

export class Pauses implements vscode.Disposable {
  private readonly changed = new vscode.EventEmitter<void>();
  private readonly listening: vscode.Disposable;
  private until: Date | undefined;
  private timer: NodeJS.Timeout | undefined;

  readonly onChange = this.changed.event;

  constructor() {
    this.listening = vscode.workspace.onDidChangeConfiguration((event) => {
      if (event.affectsConfiguration('dgls.inlineCompletion.enabled')) {
        this.changed.fire();
      }
    });
  }

  /** Why automatic suggestions are off, as text after the word "paused"; empty if they are on. */
  reason(document: vscode.TextDocument | undefined): string {
    if (this.until !== undefined) {
      return `until ${this.until.toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' })}`;
    }
    const settings = vscode.workspace.getConfiguration('dgls', document);
    if (settings.get<boolean>(ENABLED, true)) {
      return '';
    }
    const set = settings.inspect<boolean>(ENABLED);
    const inLanguage = set?.workspaceFolderLanguageValue ?? set?.workspaceLanguageValue ?? set?.globalLanguageValue;
    if (inLanguage === false && document !== undefined) {
      return `in ${document.languageId} files`;
    }
    return (set?.workspaceFolderValue ?? set?.workspaceValue) === false ? 'in this workspace' : 'by the settings';
  }

  /** Whether any language gets automatic suggestions. If none does, no model needs to be in memory. */
  get anywhere(): boolean {
    const settings = vscode.workspace.getConfiguration('dgls');
    const languages = settings.inspect(ENABLED)?.languageIds ?? [];
    const of = (languageId: string) =>
      vscode.workspace.getConfiguration('dgls', { languageId }).get<boolean>(ENABLED, true);
    return settings.get<boolean>(ENABLED, true) || languages.some(of);
  }

  /** The command "Pause Suggestions...". */
  async choose(): Promise<void> {
    const document = vscode.window.activeTextEditor?.document;
    const choices: { label: string; pause: () => unknown }[] = MINUTES.map((minutes) => ({
      label: `For ${minutes} minutes`,
      pause: () => {
        this.forMinutes(minutes);
      },
    }));
    choices.push({ label: 'For how many minutes?', pause: () => this.forAsManyMinutesAsAsked() });
    if (document !== undefined) {
      choices.push({ label: `In ${document.languageId} files`, pause: () => this.inLanguage(document) });
    }
    if (vscode.workspace.workspaceFolders !== undefined) {
      choices.push({ label: 'In this workspace', pause: () => this.inWorkspace() });
    }
    const title = 'Pause suggestions as you type (Trigger Inline Suggestion still works)';
    const chosen = await vscode.window.showQuickPick(choices, { title });
    await chosen?.pause();
  }

  forMinutes(minutes: number): void {
    this.forget();
    this.until = new Date(Date.now() + minutes * 60_000);
    this.timer = setTimeout(() => {
      this.forget();
    }, minutes * 60_000);
    this.changed.fire();
  }

  private async forAsManyMinutesAsAsked(): Promise<void> {
    const typed = await vscode.window.showInputBox({
      title: 'Pause suggestions for how many minutes?',
      value: '30',
      validateInput: (text) =>
        minutesIn(text) === undefined ? `A whole number from 1 to ${LONGEST_MINUTES}` : undefined,
    });
    const minutes = minutesIn(typed ?? '');
    if (minutes !== undefined) {
      this.forMinutes(minutes);
    }
  }

  async inLanguage(document: vscode.TextDocument): Promise<void> {
    const settings = vscode.workspace.getConfiguration('dgls', document);
    await settings.update(ENABLED, false, vscode.ConfigurationTarget.Global, true);
  }

  async inWorkspace(): Promise<void> {
    await vscode.workspace.getConfiguration('dgls').update(ENABLED, false, vscode.ConfigurationTarget.Workspace);
  }

  /** The command "Resume Suggestions": ends every pause that applies to the focused editor. */
  async resume(): Promise<void> {
    this.forget();
    const settings = vscode.workspace.getConfiguration('dgls', vscode.window.activeTextEditor?.document);
    const set = settings.inspect<boolean>(ENABLED);
    const { Global, Workspace, WorkspaceFolder } = vscode.ConfigurationTarget;
    const places: [boolean | undefined, vscode.ConfigurationTarget, boolean][] = [
      [set?.globalLanguageValue, Global, true],
      [set?.workspaceLanguageValue, Workspace, true],
      [set?.workspaceFolderLanguageValue, WorkspaceFolder, true],
      [set?.globalValue, Global, false],
      [set?.workspaceValue, Workspace, false],
      [set?.workspaceFolderValue, WorkspaceFolder, false],
    ];
    for (const [value, target, language] of places) {
      if (value === false) {
        await settings.update(ENABLED, undefined, target, language);
      }
    }
  }

  dispose(): void {
    clearTimeout(this.timer);
    vscode.Disposable.from(this.listening, this.changed).dispose();
  }

  private forget(): void {
    clearTimeout(this.timer);
    this.until = undefined;
    this.changed.fire();
  }
}

function minutesIn(text: string): number | undefined {
  const minutes = /^\s*\d{1,4}\s*$/.test(text) ? Number(text) : 0;
  return minutes >= 1 && minutes <= LONGEST_MINUTES ? minutes : undefined;
}
