/** Several selections as one range: everything from the first to the last, except the lines between them. Pure. */
import type { Position, Range } from 'vscode-languageserver-protocol';

export interface Selected {
  range: Range;
  /** The lines of the range that no selection touches; they stay as they are. */
  keep: number[];
}

/** Takes at least one range, in any order. A range that ends before a line's first character does not touch it. */
export function selectedIn(ranges: readonly Range[]): Selected {
  const start = ranges.map((range) => range.start).reduce((first, each) => (before(each, first) ? each : first));
  const end = ranges.map((range) => range.end).reduce((last, each) => (before(last, each) ? each : last));
  const lines = Array.from({ length: lastLine({ start, end }) - start.line + 1 }, (_, index) => start.line + index);
  const touched = (line: number): boolean =>
    ranges.some((range) => range.start.line <= line && line <= lastLine(range));
  return { range: { start, end }, keep: lines.filter((line) => !touched(line)) };
}

function lastLine({ start, end }: Range): number {
  return end.character === 0 && end.line > start.line ? end.line - 1 : end.line;
}

function before(left: Position, right: Position): boolean {
  return left.line < right.line || (left.line === right.line && left.character < right.character);
}
