/**
 * Shows drafts in the editors of their document: the draft replaces the hole's old text, coloured by certainty. It uses
 * decorations only and does not change the document.
 */
import * as vscode from 'vscode';
import { layout, type Run } from './draftLayout';
import type { Draft, DraftHole } from './protocol';

/** Hides text without leaving a gap, which the API has no option for. If this trick stops working, a gap remains. */
const HIDDEN: vscode.DecorationRenderOptions = { opacity: '0', textDecoration: 'none; display: none' };

export class Painter implements vscode.Disposable {
  private readonly hidden = vscode.window.createTextEditorDecorationType(HIDDEN);
  private readonly brushes = new Brushes();
  /** By request: the newest draft, and the holes of its candidate by their start. */
  private readonly drafts = new Map<string, { draft: Draft; holes: Map<string, DraftHole> }>();
  private readonly listening: vscode.Disposable[];

  constructor() {
    this.listening = [
      vscode.workspace.onDidChangeTextDocument(({ document }) => {
        this.clear(document); // the drafts were made for the text before the change
      }),
      vscode.window.onDidChangeVisibleTextEditors((editors) => {
        editors.forEach((editor) => {
          this.paint(editor);
        });
      }),
    ];
  }

  take(draft: Draft): void {
    const enabled = vscode.workspace.getConfiguration('dgls').get<boolean>('drafts.enabled', true);
    const known = this.drafts.get(draft.request);
    if (draft.done === true || !enabled) {
      this.drafts.delete(draft.request);
    } else {
      const holes = known?.draft.candidate === draft.candidate ? known?.holes : undefined;
      const all = holes ?? new Map<string, DraftHole>();
      draft.holes.forEach((hole) => all.set(`${hole.range.start.line}:${hole.range.start.character}`, hole));
      this.drafts.set(draft.request, { draft, holes: all });
    }
    vscode.window.visibleTextEditors
      .filter((editor) => editor.document.uri.toString() === vscode.Uri.parse(draft.uri).toString())
      .forEach((editor) => {
        this.paint(editor);
      });
  }

  dispose(): void {
    vscode.Disposable.from(this.hidden, this.brushes, ...this.listening).dispose();
  }

  private clear(document: vscode.TextDocument): void {
    for (const [request, { draft }] of this.drafts) {
      if (vscode.Uri.parse(draft.uri).toString() === document.uri.toString() && draft.version !== document.version) {
        this.take({ ...draft, request, holes: [], done: true });
      }
    }
  }

  private paint(editor: vscode.TextEditor): void {
    const { uri, version } = editor.document;
    const holes = [...this.drafts.values()]
      .filter(({ draft }) => vscode.Uri.parse(draft.uri).toString() === uri.toString() && draft.version === version)
      .flatMap((each) => [...each.holes.values()]);
    editor.setDecorations(this.hidden, holes.map(rangeOf));
    const tabSize = Number(editor.options.tabSize);
    this.brushes.paint(
      editor,
      holes.flatMap((hole) => layout(hole, tabSize)),
    );
  }
}

/**
 * Decoration types, one for each run of a line. VS Code draws several at one place in the order of their class names,
 * which contain the types' keys, so the types are sorted by key.
 */
class Brushes implements vscode.Disposable {
  private types: vscode.TextEditorDecorationType[] = [];
  private readonly used = new WeakMap<vscode.TextEditor, number>();

  paint(editor: vscode.TextEditor, lines: ReturnType<typeof layout>): void {
    const needed = Math.max(0, ...lines.map((line) => line.runs.length));
    this.ensure(needed);
    this.types.slice(0, Math.max(needed, this.used.get(editor) ?? 0)).forEach((type, index) => {
      const options = lines.flatMap(({ line, character, runs }) => {
        const run = runs[index];
        return run === undefined ? [] : [stroke(new vscode.Position(line, character), run)];
      });
      editor.setDecorations(type, options);
    });
    this.used.set(editor, needed);
  }

  dispose(): void {
    vscode.Disposable.from(...this.types).dispose();
  }

  private ensure(count: number): void {
    if (this.types.length >= count) {
      return;
    }
    this.dispose(); // make all of them again: a newer key may sort before an older one
    this.types = Array.from({ length: count + 16 }, () => vscode.window.createTextEditorDecorationType({}));
    this.types.sort((a, b) => (a.key < b.key ? -1 : 1));
  }
}

function stroke(at: vscode.Position, run: Run): vscode.DecorationOptions {
  const before: vscode.ThemableDecorationAttachmentRenderOptions = {
    contentText: run.text.replaceAll(' ', '\u00a0'), // plain spaces would collapse
    color: new vscode.ThemeColor(`dgls.draft.${run.level}`),
    fontStyle: run.level === 'settled' ? 'normal' : 'italic',
  };
  return { range: new vscode.Range(at, at), renderOptions: { before } };
}

function rangeOf({ range: { start, end } }: DraftHole): vscode.Range {
  return new vscode.Range(start.line, start.character, end.line, end.character);
}
