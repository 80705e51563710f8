/** Asks for an instruction, with the earlier ones to choose from. */
import * as vscode from 'vscode';
import type { History } from './history';

interface Choice extends vscode.QuickPickItem {
  instruction: string;
}

/** The instruction, or an empty text for none; undefined if the user closed the box. */
export async function askInstruction(history: History): Promise<string | undefined> {
  const box = vscode.window.createQuickPick<Choice>();
  box.title = 'Rewrite the selection';
  box.placeholder = 'What should change? Leave it empty for another version';
  const offer = () => {
    const typed = box.value.trim();
    const before = history.instructions.filter((other) => other !== typed).map((other) => choice(other, '$(history)'));
    const first = typed === '' ? { ...choice('', '$(sparkle)'), label: '$(sparkle) Another version' } : choice(typed);
    box.items = [{ ...first, alwaysShow: true }, ...before];
  };
  box.onDidChangeValue(offer);
  offer();
  const chosen = await new Promise<string | undefined>((resolve) => {
    box.onDidAccept(() => {
      resolve(box.activeItems[0]?.instruction);
    });
    box.onDidHide(() => {
      resolve(undefined);
    });
    box.show();
  });
  box.dispose();
  if (chosen !== undefined && chosen !== '') {
    await history.add(chosen);
  }
  return chosen;
}

function choice(instruction: string, icon = '$(edit)'): Choice {
  return { label: `${icon} ${instruction}`, instruction };
}
