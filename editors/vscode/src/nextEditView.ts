/**
 * Shows a proposed next edit in the visible editors: the old text struck through, the new one behind it, and a hint
 * behind the cursor's line. It uses decorations only and does not change the document.
 */
import * as vscode from 'vscode';
import { changed } from './nextEditLayout';
import type { NextEdit } from './protocol';

const BREAK = ' ⏎ ';

export class NextEditView implements vscode.Disposable {
  private readonly old = vscode.window.createTextEditorDecorationType({
    color: new vscode.ThemeColor('dgls.nextEdit.old'),
    textDecoration: 'line-through',
  });
  private readonly text: vscode.TextEditorDecorationType;
  private readonly hint: vscode.TextEditorDecorationType;

  constructor() {
    // VS Code draws two texts at one place in the order of their types' keys.
    const types = [0, 1].map(() => vscode.window.createTextEditorDecorationType({}));
    const [first, second] = types.sort((a, b) => (a.key < b.key ? -1 : 1)) as [Type, Type];
    this.text = first;
    this.hint = second;
  }

  /** Paint the proposal; undefined: none. `hint` is for the active editor. */
  paint(edit: NextEdit | undefined, hint: string): void {
    for (const editor of vscode.window.visibleTextEditors) {
      const here = edit !== undefined && editor.document.uri.toString() === edit.uri ? edit : undefined;
      this.paintPlace(editor, here);
      editor.setDecorations(
        this.hint,
        editor === vscode.window.activeTextEditor && hint !== '' ? [hinted(editor, hint)] : [],
      );
    }
  }

  dispose(): void {
    vscode.Disposable.from(this.old, this.text, this.hint).dispose();
  }

  private paintPlace(editor: vscode.TextEditor, edit: NextEdit | undefined): void {
    if (edit === undefined) {
      editor.setDecorations(this.old, []);
      editor.setDecorations(this.text, []);
      return;
    }
    const { document } = editor;
    const offset = document.offsetAt(rangeOf(edit).start);
    const { start, end, text } = changed(document.getText(rangeOf(edit)), edit.newText);
    const at = document.positionAt(offset + end);
    const apart = start === end ? {} : { margin: '0 0 0 0.5ch' };
    editor.setDecorations(this.old, [new vscode.Range(document.positionAt(offset + start), at)]);
    editor.setDecorations(this.text, text === '' ? [] : [written(at, text, 'dgls.nextEdit.new', apart)]);
  }
}

type Type = vscode.TextEditorDecorationType;

export function rangeOf({ range: { start, end } }: NextEdit): vscode.Range {
  return new vscode.Range(start.line, start.character, end.line, end.character);
}

/** The background hides that of a highlighted word at the line's end, which VS Code draws below this text, too. */
function hinted(editor: vscode.TextEditor, hint: string): vscode.DecorationOptions {
  const { range } = editor.document.lineAt(editor.selection.active);
  const word = editor.document.getWordRangeAtPosition(editor.selection.active);
  const covers =
    word?.end.isEqual(range.end) === true ? { backgroundColor: new vscode.ThemeColor('editor.background') } : {};
  return written(range.end, `   ${hint}`, 'dgls.nextEdit.hint', { fontStyle: 'italic', ...covers });
}

function written(
  at: vscode.Position,
  text: string,
  colour: string,
  more: vscode.ThemableDecorationAttachmentRenderOptions = {},
): vscode.DecorationOptions {
  const contentText = text.replaceAll(/\r\n|\r|\n/g, BREAK).replaceAll(/[ \t]/g, '\u00a0'); // plain spaces would collapse
  return {
    range: new vscode.Range(at, at),
    renderOptions: { before: { contentText, color: new vscode.ThemeColor(colour), ...more } },
  };
}
