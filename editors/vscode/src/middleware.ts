/** What is done on the way between the editor and the server: who is paused asks for nothing, who accepts is noticed. */
import * as vscode from 'vscode';
import { ResponseError, type Middleware } from 'vscode-languageclient/node';
import type { Pauses } from './pauses';

/** The command that an accepted suggestion runs. */
export const ACCEPTED = 'dgls.accepted';

export function middleware(pauses: Pauses): Middleware {
  return {
    provideInlineCompletionItems: async (document, position, context, token, next) => {
      const unasked = context.triggerKind === vscode.InlineCompletionTriggerKind.Automatic;
      if (unasked && pauses.reason(document) !== '') {
        return [];
      }
      const found = await next(document, position, context, token);
      const items = Array.isArray(found) ? found : (found?.items ?? []);
      items.forEach((item) => (item.command = { title: 'Accepted', command: ACCEPTED }));
      return items;
    },
    workspace: {
      // to the server a pause in one language is none: it would give its model up, or never load it
      configuration: async (params, token, next) => {
        const answers = await next(params, token);
        return answers instanceof ResponseError
          ? answers
          : answers.map((answer: unknown) => switchedOn(answer, pauses.anywhere));
      },
    },
  };
}

function switchedOn(answer: unknown, enabled: boolean): unknown {
  const settings = answer as { inlineCompletion?: object } | null;
  return settings && { ...settings, inlineCompletion: { ...settings.inlineCompletion, enabled } };
}
