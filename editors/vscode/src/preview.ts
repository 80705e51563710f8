/**
 * The diff of a rewrite, with Accept, Discard and Again. One at a time. The document changes only on Accept, which
 * refuses if the document has changed meanwhile. Closing the diff discards.
 */
import { basename } from 'node:path';
import * as vscode from 'vscode';
import { edited } from './textEdits';
import { setContext } from './statusItem';

export const SCHEME = 'dgls-rewrite';

const ENTER = process.platform === 'darwin' ? '⌘Enter' : 'Ctrl+Enter';
const KEYS = `${ENTER}: accept, Esc: discard, Shift+${ENTER}: again`;

/** Edits of one version of a document. `note`: what they are, how sure the model is, and what is wrong with them. */
export interface Proposal {
  document: vscode.TextDocument;
  version: number;
  edits: vscode.TextEdit[];
  note: string;
}

/** Makes the next proposal; undefined without one, and then a message said why. */
export type Propose = () => Promise<Proposal | undefined>;

export class Preview implements vscode.TextDocumentContentProvider, vscode.Disposable {
  private readonly changed = new vscode.EventEmitter<vscode.Uri>();
  private readonly listening: vscode.Disposable;
  private shown: { proposal: Proposal; text: string; uri: vscode.Uri; again: Propose } | undefined;
  private count = 0;
  private hint: vscode.Disposable | undefined;

  readonly onDidChange = this.changed.event;

  constructor() {
    this.listening = vscode.Disposable.from(
      vscode.workspace.registerTextDocumentContentProvider(SCHEME, this),
      vscode.window.tabGroups.onDidChangeTabs(({ closed }) => {
        if (closed.some((tab) => this.isOurs(tab))) {
          this.forget();
        }
      }),
    );
  }

  provideTextDocumentContent(uri: vscode.Uri): string {
    return uri.toString() === this.shown?.uri.toString() ? this.shown.text : '';
  }

  /** `again`: makes another proposal for the same place. */
  async show(proposal: Proposal, again: Propose): Promise<void> {
    await this.discard();
    const { document } = proposal;
    const query = String((this.count += 1));
    const uri = document.uri.with({ scheme: SCHEME, authority: '', query });
    this.shown = { proposal, text: textOf(proposal), uri, again };
    setContext('dgls.previewing', true);
    this.hint = vscode.window.setStatusBarMessage(KEYS);
    const right = await vscode.workspace.openTextDocument(uri);
    if (right.languageId !== document.languageId) {
      await vscode.languages.setTextDocumentLanguage(right, document.languageId);
    }
    const title = `${basename(document.uri.path)}: ${proposal.note}`;
    await vscode.commands.executeCommand('vscode.diff', document.uri, uri, title, { preview: true });
  }

  async accept(): Promise<void> {
    if (this.shown === undefined) {
      return;
    }
    const { document, version, edits } = this.shown.proposal;
    await this.discard();
    if (document.isClosed || document.version !== version) {
      void vscode.window.showWarningMessage('Nothing was rewritten, because the document has changed. Ask again.');
      return;
    }
    const change = new vscode.WorkspaceEdit();
    change.set(document.uri, edits);
    await vscode.window.showTextDocument(document);
    await vscode.workspace.applyEdit(change);
  }

  async discard(): Promise<void> {
    const tab = vscode.window.tabGroups.all.flatMap((group) => group.tabs).find((each) => this.isOurs(each));
    this.forget();
    if (tab !== undefined) {
      await vscode.window.tabGroups.close(tab);
    }
  }

  /** Show the next proposal; keep this one if there is no other. */
  async again(): Promise<void> {
    const before = this.shown;
    const proposal = await before?.again();
    if (before === undefined || proposal === undefined || this.shown !== before) {
      return;
    }
    if (textOf(proposal) === before.text) {
      void vscode.window.showInformationMessage('The model wrote the same text again.');
      return;
    }
    await this.show(proposal, before.again);
  }

  dispose(): void {
    this.forget();
    vscode.Disposable.from(this.listening, this.changed).dispose();
  }

  private isOurs(tab: vscode.Tab): boolean {
    const shown = this.shown?.uri.toString();
    return tab.input instanceof vscode.TabInputTextDiff && tab.input.modified.toString() === shown;
  }

  private forget(): void {
    this.shown = undefined;
    this.hint?.dispose();
    setContext('dgls.previewing', false);
  }
}

function textOf({ document, edits }: Proposal): string {
  const places = edits.map(({ range, newText }) => ({
    start: document.offsetAt(range.start),
    end: document.offsetAt(range.end),
    text: newText,
  }));
  return edited(document.getText(), places);
}
