import assert from 'node:assert/strict';
import { test } from 'node:test';
import { strengthsIn } from '../src/protocol';

void test('strengthsIn keeps the order of the server', () => {
  const strengths = [
    { name: 'barely', strength: 0.05 },
    { name: 'wholly', strength: 1 },
  ];
  assert.deepEqual(strengthsIn({ dgls: { strengths }, others: 1 }), strengths);
});

void test('strengthsIn of another server returns none', () => {
  assert.deepEqual(strengthsIn(undefined), []);
  assert.deepEqual(strengthsIn({ others: 1 }), []);
});
