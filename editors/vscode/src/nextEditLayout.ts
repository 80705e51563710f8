/** What is shown of a proposed next edit, and what Tab does with it. Pure: no VS Code. */
import type { Position, Range } from 'vscode-languageserver-protocol';
import type { NextEdit } from './protocol';

/** The active editor, as far as it matters here. */
export interface View {
  uri: string;
  cursor: Position;
  /** The text left of the cursor. */
  left: string;
  /** One cursor, and nothing selected. */
  single: boolean;
  /** A suggestion stands behind the cursor, and Tab accepts that. */
  suggested: boolean;
  /** First and last line of each part in sight. */
  visible: { start: number; end: number }[];
}

export type Step = 'jump' | 'apply';

export interface Shown {
  /** Text behind the cursor's line; empty for none. */
  hint: string;
  /** Whether Tab goes on with the proposal. */
  tab: boolean;
  /** Whether the user sees anything of it. */
  visible: boolean;
}

/** The first step goes to the place, the next one changes it. */
export function stepOf(edit: NextEdit, { uri, cursor }: Pick<View, 'uri' | 'cursor'>): Step {
  const { start, end } = edit.range;
  return edit.uri === uri && start.line <= cursor.line && cursor.line <= end.line ? 'apply' : 'jump';
}

/** `name`: of the document that the proposal changes. */
export function shownOf(edit: NextEdit, view: View, name: string): Shown {
  const inSight = (line: number) => view.visible.some(({ start, end }) => start <= line && line <= end);
  const step = stepOf(edit, view);
  const indenting = view.left.trim() === '' && step === 'jump'; // there Tab indents the line
  const free = view.single && !indenting;
  const hint = free && !view.suggested && inSight(view.cursor.line) ? hintOf(edit, view, step, name) : '';
  const visible = hint !== '' || (edit.uri === view.uri && inSight(edit.range.start.line));
  return { hint, tab: free && visible, visible };
}

function hintOf(edit: NextEdit, view: View, step: Step, name: string): string {
  const line = `line ${edit.range.start.line + 1}`;
  if (step === 'apply') {
    return 'Tab: apply';
  }
  return `Tab: next edit ${edit.uri === view.uri ? 'on' : `in ${name},`} ${line}`;
}

/** The words of the old text that change, as offsets, and the text that replaces them. */
export function changed(old: string, text: string): { start: number; end: number; text: string } {
  const most = Math.min(old.length, text.length);
  let start = 0;
  while (start < most && old[start] === text[start]) {
    start += 1;
  }
  while (start > 0 && (splitsWord(old, start) || splitsWord(text, start))) {
    start -= 1;
  }
  let last = 0;
  while (last < most - start && old.at(-last - 1) === text.at(-last - 1)) {
    last += 1;
  }
  while (last > 0 && (splitsWord(old, old.length - last) || splitsWord(text, text.length - last))) {
    last -= 1;
  }
  return { start, end: old.length - last, text: text.slice(start, text.length - last) };
}

/** Whether the place is inside a word or a character. */
function splitsWord(text: string, at: number): boolean {
  return /^(?:[\p{L}\p{N}_]{2}|[^\0-\uffff])$/u.test(text.slice(Math.max(0, at - 1), at + 1));
}

/** First and last line that changes touched, in the text after them. */
export function changedLines(changes: readonly { range: Range; text: string }[]): { first: number; last: number } {
  const lines = changes.map(({ range, text }) => ({
    first: range.start.line,
    last: range.start.line + text.split(/\r\n|\r|\n/).length - 1,
  }));
  return { first: Math.min(...lines.map(({ first }) => first)), last: Math.max(...lines.map(({ last }) => last)) };
}
