import assert from 'node:assert/strict';
import { test } from 'node:test';
import { edited } from '../src/textEdits';
import { History, type Store } from '../src/history';

function memory(): Store {
  const kept = new Map<string, unknown>();
  return {
    get: <T>(key: string, otherwise: T) => (kept.get(key) as T | undefined) ?? otherwise,
    update: (key, value) => Promise.resolve(void kept.set(key, value)),
  };
}

void test('History keeps thirty instructions, the newest first, each once', async () => {
  const history = new History(memory());
  for (let index = 0; index < 40; index += 1) {
    await history.add(`make it ${index}`);
  }
  await history.add('make it 20');
  assert.deepEqual(history.instructions.slice(0, 2), ['make it 20', 'make it 39']);
  assert.equal(history.instructions.length, 30);
});

void test('edited applies edits in any order, with offsets of the original text', () => {
  const edits = [
    { start: 0, end: 1, text: 'AA' },
    { start: 4, end: 4, text: '!' },
    { start: 2, end: 3, text: '' },
  ];
  assert.equal(edited('a-b-', edits), 'AA--!');
});
