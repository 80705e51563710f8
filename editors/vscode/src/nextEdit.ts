/**
 * Next edits: asks the server once an edit has settled, shows at most one proposal, and jumps to it, applies it or
 * dismisses it. Any other change of a document drops the proposal. The server chooses the places.
 */
import * as vscode from 'vscode';
import { CancellationTokenSource, LSPErrorCodes, ResponseError } from 'vscode-languageclient/node';
import { changedLines, shownOf, stepOf, type View } from './nextEditLayout';
import { NextEditView, rangeOf } from './nextEditView';
import type { Pauses } from './pauses';
import {
  ANSWERED,
  NEXT_EDIT,
  type Answered,
  type NextEdit,
  type NextEditAnswer,
  type NextEditAsking,
} from './protocol';
import type { Server } from './server';
import { setContext } from './statusItem';

const SETTLED_MS = 400;

/** A change that has not settled. */
interface Unsettled {
  document: vscode.TextDocument;
  first: number;
  last: number;
  timer: NodeJS.Timeout;
}

/** Where a suggestion stands. */
interface Suggestion {
  uri: string;
  version: number;
  position: vscode.Position;
}

export class NextEdits implements vscode.Disposable {
  private readonly view = new NextEditView();
  private readonly listening: vscode.Disposable;
  private proposal: NextEdit | undefined;
  private unsettled: Unsettled | undefined;
  private asking: (CancellationTokenSource & { uri: string }) | undefined;
  private suggestion: Suggestion | undefined;
  private painted = false;
  private applying = false;

  constructor(
    private readonly server: Server,
    private readonly pauses: Pauses,
    private readonly log: vscode.LogOutputChannel,
  ) {
    this.listening = vscode.Disposable.from(
      vscode.workspace.onDidChangeTextDocument((event) => {
        this.changed(event);
      }),
      vscode.window.onDidChangeTextEditorSelection(({ textEditor }) => {
        this.moved(textEditor);
      }),
      vscode.window.onDidChangeTextEditorVisibleRanges(() => {
        this.paint();
      }),
      vscode.window.onDidChangeVisibleTextEditors(() => {
        this.paint();
      }),
      vscode.window.onDidChangeActiveTextEditor((editor) => {
        this.went(editor);
      }),
      vscode.workspace.onDidChangeConfiguration((event) => {
        if (event.affectsConfiguration('dgls.nextEdit')) {
          this.drop();
        }
      }),
      server.onLife(({ at }) => {
        if (at !== 'running') {
          this.drop();
        }
      }),
    );
  }

  /** The command "Next Edit": go on with the proposal, or ask for one and say why there is none. */
  async next(): Promise<void> {
    const editor = vscode.window.activeTextEditor;
    if (editor === undefined || (await this.goOn())) {
      return;
    }
    const options = { location: vscode.ProgressLocation.Window, title: 'dgls: looking for the next edit' };
    const reason = await vscode.window.withProgress(options, () => this.ask(editor, true));
    if (reason !== '') {
      void vscode.window.showInformationMessage(`dgls has no next edit: ${reason}.`);
    }
  }

  /** The key Tab. It is a tab if the proposal was dropped while the key was on its way. */
  async tab(): Promise<void> {
    if (!(await this.goOn())) {
      await vscode.commands.executeCommand('tab');
    }
  }

  /** The server does not propose this place again for this edit. */
  async dismiss(): Promise<void> {
    const { proposal } = this;
    this.drop();
    if (proposal !== undefined) {
      await this.answer({ id: proposal.id, accepted: false });
    }
  }

  /** The editor is given a suggestion for this place: Tab accepts that first. */
  suggested(document: vscode.TextDocument, position: vscode.Position): void {
    this.suggestion = { uri: document.uri.toString(), version: document.version, position };
    this.paint();
  }

  dispose(): void {
    this.drop();
    vscode.Disposable.from(this.view, this.listening).dispose();
  }

  /** Jump to the proposal, or apply it there. Returns false if there is none. */
  private async goOn(): Promise<boolean> {
    const editor = vscode.window.activeTextEditor;
    const { proposal } = this;
    if (proposal === undefined || editor === undefined) {
      return false;
    }
    await (stepOf(proposal, viewOf(editor)) === 'jump' ? this.jump(proposal) : this.apply(proposal, editor));
    return true;
  }

  private changed({ document, contentChanges, reason }: vscode.TextDocumentChangeEvent): void {
    const uri = document.uri.toString();
    const active = vscode.window.activeTextEditor?.document === document;
    if (contentChanges.length === 0 || this.applying || !(active || uri === this.proposal?.uri)) {
      return;
    }
    this.drop();
    if (active && reason === undefined && this.wanted(document)) {
      const timer = setTimeout(() => {
        this.settled();
      }, SETTLED_MS);
      this.unsettled = { document, ...changedLines(contentChanges), timer };
    }
  }

  private moved(editor: vscode.TextEditor): void {
    const { line } = editor.selection.active;
    if (this.unsettled?.document === editor.document && (line < this.unsettled.first || line > this.unsettled.last)) {
      this.settled();
    }
    this.paint();
  }

  /** A proposal stays while the user looks at its document; so does a search that has not ended. */
  private went(editor: vscode.TextEditor | undefined): void {
    const about = this.proposal?.uri ?? this.asking?.uri ?? this.unsettled?.document.uri.toString();
    if (editor !== undefined && editor.document.uri.toString() !== about) {
      this.drop();
    }
    this.paint();
  }

  private wanted(document: vscode.TextDocument): boolean {
    const enabled = vscode.workspace.getConfiguration('dgls', document).get<boolean>('nextEdit', false);
    return enabled && this.pauses.reason(document) === '';
  }

  private settled(): void {
    const { document } = this.unsettled ?? {};
    this.settle();
    const editor = vscode.window.activeTextEditor;
    if (editor !== undefined && editor.document === document) {
      void this.ask(editor, false);
    }
  }

  /** Ask for a proposal and show it. Returns why there is none; empty if nobody asked, or a newer request did. */
  private async ask(editor: vscode.TextEditor, invoked: boolean): Promise<string> {
    this.drop();
    const client = this.server.running;
    if (client === undefined) {
      return 'the server is not running';
    }
    const { document, selection } = editor;
    const source = (this.asking = Object.assign(new CancellationTokenSource(), { uri: document.uri.toString() }));
    const parameters: NextEditAsking = {
      textDocument: { uri: client.code2ProtocolConverter.asUri(document.uri), version: document.version },
      position: { line: selection.active.line, character: selection.active.character },
      invoked,
    };
    try {
      const { edit, reason } = await client.sendRequest<NextEditAnswer>(NEXT_EDIT, parameters, source.token);
      if (this.asking !== source) {
        return '';
      }
      this.show(edit === null ? undefined : { ...edit, uri: vscode.Uri.parse(edit.uri).toString() });
      return reason;
    } catch (error) {
      if (error instanceof ResponseError && error.code === LSPErrorCodes.RequestCancelled) {
        return '';
      }
      this.log.error(`${NEXT_EDIT}: ${String(error)}`);
      return invoked ? String(error) : '';
    } finally {
      source.dispose();
      if (this.asking === source) {
        this.asking = undefined;
      }
    }
  }

  private show(edit: NextEdit | undefined): void {
    const document = vscode.workspace.textDocuments.find(({ uri }) => uri.toString() === edit?.uri);
    this.proposal = document?.version === edit?.version ? edit : undefined;
    this.paint();
  }

  private async jump({ uri, range: { start } }: NextEdit): Promise<void> {
    const at = new vscode.Position(start.line, start.character);
    const shown = vscode.window.activeTextEditor;
    const editor =
      shown?.document.uri.toString() === uri ? shown : await vscode.window.showTextDocument(vscode.Uri.parse(uri));
    editor.selection = new vscode.Selection(at, at);
    editor.revealRange(new vscode.Range(at, at), vscode.TextEditorRevealType.InCenterIfOutsideViewport);
  }

  private async apply(proposal: NextEdit, editor: vscode.TextEditor): Promise<void> {
    this.applying = true;
    const applied = await editor
      .edit((builder) => {
        builder.replace(rangeOf(proposal), proposal.newText);
      })
      .then(undefined, () => false);
    this.applying = false;
    this.drop();
    if (applied) {
      await this.answer({ id: proposal.id, accepted: true });
    }
    await this.ask(editor, false); // shows the same place again where VS Code refused the change
  }

  private async answer(answered: Answered): Promise<void> {
    await this.server.running?.sendNotification(ANSWERED, answered);
  }

  /** Forget the proposal, and the request for one. */
  private drop(): void {
    this.settle();
    this.asking?.cancel();
    this.asking = undefined;
    this.proposal = undefined;
    this.paint();
  }

  private settle(): void {
    clearTimeout(this.unsettled?.timer);
    this.unsettled = undefined;
  }

  private paint(): void {
    const editor = vscode.window.activeTextEditor;
    const { proposal } = this;
    if (proposal === undefined && !this.painted) {
      return; // called on every move of the cursor
    }
    this.painted = proposal !== undefined;
    const shown =
      proposal === undefined || editor === undefined
        ? { hint: '', tab: false, visible: false }
        : shownOf(proposal, viewOf(editor, this.suggestion), nameOf(proposal));
    setContext('dgls.nextEditTab', shown.tab); // first, so that Tab does what the hint says from when it is seen
    setContext('dgls.nextEditShown', shown.visible);
    this.view.paint(proposal, shown.hint);
  }
}

/** The path of the proposal's file: for a cell, of its notebook. */
function nameOf({ uri }: NextEdit): string {
  const document = vscode.Uri.parse(uri);
  const notebook = vscode.workspace.notebookDocuments.find((each) =>
    each.getCells().some((cell) => cell.document.uri.toString() === document.toString()),
  );
  return vscode.workspace.asRelativePath(notebook?.uri ?? document);
}

function viewOf({ document, selection, selections, visibleRanges }: vscode.TextEditor, suggestion?: Suggestion): View {
  const { active } = selection;
  const uri = document.uri.toString();
  return {
    uri,
    cursor: { line: active.line, character: active.character },
    left: document.lineAt(active).text.slice(0, active.character),
    single: selections.length === 1 && selection.isEmpty,
    suggested:
      suggestion?.uri === uri && suggestion.version === document.version && suggestion.position.isEqual(active),
    visible: visibleRanges.map(({ start, end }) => ({ start: start.line, end: end.line })),
  };
}
