/** The command "Try It on an Example": opens a file and requests a suggestion in it. */
import * as vscode from 'vscode';

const TEXT = `"""Press Tab to accept the grey text, Ctrl+Right for one word of it, Esc to dismiss it."""


class Basket:
    def __init__(self):
        self.items = []

    def add(self, item):
        self.items.|

    def __len__(self):
        return len(self.items)
`;

export async function openExample(): Promise<void> {
  const at = TEXT.indexOf('|');
  const content = TEXT.replace('|', '');
  const document = await vscode.workspace.openTextDocument({ language: 'python', content });
  const editor = await vscode.window.showTextDocument(document);
  const position = document.positionAt(at);
  editor.selection = new vscode.Selection(position, position);
  await vscode.commands.executeCommand('editor.action.inlineSuggest.trigger');
}
