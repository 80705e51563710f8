import assert from 'node:assert/strict';
import { test } from 'node:test';
import { layout } from '../src/draftLayout';
import type { Token } from '../src/protocol';

function hole(lines: number, ...tokens: [string, number][]) {
  const given: Token[] = tokens.map(([text, certainty]) => ({ text, certainty }));
  const range = { start: { line: 3, character: 4 }, end: { line: 3 + lines - 1, character: 9 } };
  return { range, text: given.map((token) => token.text).join(''), tokens: given };
}

void test('layout joins adjacent tokens of one level', () => {
  assert.deepEqual(layout(hole(1, ['return', 0.99], [' ', 0.99], ['a', 0.3], [' b', 0.1]), 4), [
    {
      line: 3,
      character: 4,
      runs: [
        { text: 'return ', level: 'settled' },
        { text: 'a', level: 'doubtful' },
        { text: ' b', level: 'noise' },
      ],
    },
  ]);
});

void test("layout puts each line of the draft on one of the hole's lines, the first at the hole's start", () => {
  const painted = layout(hole(2, ['a\n    b', 0.99]), 4);
  assert.deepEqual(
    painted.map(({ line, character, runs }) => [line, character, runs.map((run) => run.text).join('')]),
    [
      [3, 4, 'a'],
      [4, 0, '    b'],
    ],
  );
});

void test('layout of more lines than the hole has appends them to the last one', () => {
  const [only, ...more] = layout(hole(1, ['a\nb\r\nc', 0.99]), 4);
  assert.equal(more.length, 0);
  assert.equal(only?.runs.map((run) => run.text).join(''), 'a ⏎ b ⏎ c');
});

void test('layout expands tabs to the width in the editor', () => {
  assert.equal(layout(hole(1, ['\tx', 0.99]), 2)[0]?.runs[0]?.text, '  x');
});
