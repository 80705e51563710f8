/** The command "Choose Model...": a list of what is on this machine. The choice is the user's setting `dgls.model`. */
import * as vscode from 'vscode';
import { choicesOf } from './models';
import type { Models } from './protocol';

export async function chooseModel(models: () => Promise<Models | undefined>): Promise<void> {
  const here = await models();
  if (here === undefined) {
    void vscode.window.showWarningMessage('dgls: no server is running, so it knows no models');
    return;
  }
  const title = 'The model that fills your code';
  const chosen = await vscode.window.showQuickPick(choicesOf(here), { title, matchOnDescription: true });
  if (chosen !== undefined) {
    const settings = vscode.workspace.getConfiguration('dgls');
    const inWorkspace = settings.inspect('model')?.workspaceValue !== undefined;
    const where = inWorkspace ? vscode.ConfigurationTarget.Workspace : vscode.ConfigurationTarget.Global;
    await settings.update('model', chosen.name === 'auto' ? undefined : chosen.name, where);
  }
}
