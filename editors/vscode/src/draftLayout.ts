/**
 * Where a draft's tokens are shown: line by line over the hole. Lines that the hole has no room for follow its last
 * line. Pure: no VS Code.
 */
import type { DraftHole, Token } from './protocol';

export type Level = 'noise' | 'doubtful' | 'likely' | 'settled';

/** Adjacent tokens of one level. The runs of a line are in text order. */
export interface Run {
  text: string;
  level: Level;
}

export interface PaintedLine {
  line: number;
  character: number;
  runs: Run[];
}

const BREAK = ' ⏎ ';
/** About a screen's width: each run costs the editor an element. */
const MOST_RUNS = 48;

export function level(certainty: number): Level {
  if (certainty >= 0.95) {
    return 'settled';
  }
  if (certainty >= 0.6) {
    return 'likely';
  }
  return certainty >= 0.25 ? 'doubtful' : 'noise';
}

/** One entry for each line of the hole that shows text. */
export function layout(hole: DraftHole, tabSize: number): PaintedLine[] {
  const { start, end } = hole.range;
  const painted: PaintedLine[] = [];
  linesOf(hole.tokens).forEach((runs, index) => {
    const line = start.line + index;
    const last = painted.at(-1);
    if (line > end.line && last !== undefined) {
      last.runs.push({ text: BREAK, level: 'settled' }, ...runs);
    } else {
      painted.push({ line, character: index === 0 ? start.character : 0, runs: [...runs] });
    }
  });
  return painted
    .map((each) => ({ ...each, runs: merged(each.runs, tabSize).slice(0, MOST_RUNS) }))
    .filter((each) => each.runs.length > 0);
}

function linesOf(tokens: Token[]): Run[][] {
  const lines: Run[][] = [[]];
  for (const token of tokens) {
    token.text.split(/\r\n|\r|\n/).forEach((text, index) => {
      if (index > 0) {
        lines.push([]);
      }
      lines.at(-1)?.push({ text, level: level(token.certainty) });
    });
  }
  return lines;
}

function merged(runs: Run[], tabSize: number): Run[] {
  const result: Run[] = [];
  for (const run of runs) {
    const text = run.text.replaceAll('\t', ' '.repeat(tabSize));
    const last = result.at(-1);
    if (text !== '' && last?.level === run.level) {
      last.text += text;
    } else if (text !== '') {
      result.push({ text, level: run.level });
    }
  }
  return result;
}
