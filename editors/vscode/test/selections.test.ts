import assert from 'node:assert/strict';
import { test } from 'node:test';
import { selectedIn } from '../src/selections';

function range(line: number, character: number, endLine: number, endCharacter: number) {
  return { start: { line, character }, end: { line: endLine, character: endCharacter } };
}

void test('selectedIn of one selection returns it and keeps no line', () => {
  assert.deepEqual(selectedIn([range(3, 4, 7, 9)]), { range: range(3, 4, 7, 9), keep: [] });
  assert.deepEqual(selectedIn([range(3, 0, 5, 0)]), { range: range(3, 0, 5, 0), keep: [] });
});

void test('selectedIn of several selections in any order keeps the lines between them', () => {
  const selections = [range(8, 0, 9, 4), range(2, 4, 3, 0), range(5, 0, 5, 7)];
  assert.deepEqual(selectedIn(selections), { range: range(2, 4, 9, 4), keep: [3, 4, 6, 7] });
});

void test('selectedIn of two selections that meet in a line does not keep that line', () => {
  assert.deepEqual(selectedIn([range(1, 0, 2, 3), range(2, 6, 4, 0)]), { range: range(1, 0, 4, 0), keep: [] });
});
