/** Between the editor and the server: drops automatic requests during a pause, and notes suggestions, shown and accepted. */
import * as vscode from 'vscode';
import { ResponseError, type Middleware } from 'vscode-languageclient/node';
import type { Pauses } from './pauses';

/** The command that an accepted suggestion runs. */
export const ACCEPTED = 'dgls.accepted';

/** `suggested` is called with the place of each suggestion. */
export function middleware(
  pauses: Pauses,
  suggested: (document: vscode.TextDocument, position: vscode.Position) => void,
): Middleware {
  return {
    provideInlineCompletionItems: async (document, position, context, token, next) => {
      const automatic = context.triggerKind === vscode.InlineCompletionTriggerKind.Automatic;
      if (automatic && pauses.reason(document) !== '') {
        return [];
      }
      const result = await next(document, position, context, token);
      const items = Array.isArray(result) ? result : (result?.items ?? []);
      items.forEach((item) => (item.command = { title: 'Accepted', command: ACCEPTED }));
      if (items.length > 0) {
        suggested(document, position);
      }
      return items;
    },
    workspace: {
      // Hide a pause in one language from the server: it would unload its model, or never load it.
      configuration: async (params, token, next) => {
        const answers = await next(params, token);
        return answers instanceof ResponseError
          ? answers
          : answers.map((answer: unknown) => withEnabled(answer, pauses.anywhere));
      },
    },
  };
}

function withEnabled(answer: unknown, enabled: boolean): unknown {
  const settings = answer as { inlineCompletion?: object } | null;
  return settings && { ...settings, inlineCompletion: { ...settings.inlineCompletion, enabled } };
}
