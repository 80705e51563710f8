import assert from 'node:assert/strict';
import { test } from 'node:test';
import { choicesOf } from '../src/models';
import type { Model } from '../src/protocol';

const SMALL: Model = {
  name: 'small',
  parameters: 134.5e6,
  bytes: 291e6,
  licence: 'Apache-2.0',
  stepMs: 84.6,
  problem: '',
};

void test('choicesOf says size, licence and speed, and marks the chosen model', () => {
  const [auto, small] = choicesOf({ chosen: 'small', models: [SMALL] });
  assert.equal(auto?.label, 'auto');
  assert.deepEqual(small, {
    name: 'small',
    label: '$(check) small',
    description: '135 M parameters · 291 MB · Apache-2.0',
    detail: '85 ms a step on this machine',
  });
});

void test('choicesOf leaves out what is not known, and shows a problem', () => {
  const broken = { ...SMALL, licence: '', stepMs: null, problem: 'weights are missing' };
  const [, shown] = choicesOf({ chosen: 'auto', models: [broken] });
  assert.equal(shown?.description, '135 M parameters · 291 MB');
  assert.equal(shown.detail, '$(warning) weights are missing');
});
