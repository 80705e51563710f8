import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Status } from '../src/protocol';
import { lastShown, shown, type Life } from '../src/status';

const ready: Status = {
  state: 'ready',
  model: 'embedded',
  device: 'cpu',
  message: '',
  percent: null,
  memory: 5_863_518,
  instructions: false,
};

function running(told?: Partial<Status>): Life {
  return { at: 'running', from: 'PATH', told: { ...ready, ...told } };
}

void test('who is ready says model, device, memory and which server it is', () => {
  const { text, detail, busy } = shown(running(), '');
  assert.equal(text, 'dgls: ready (embedded · cpu · 6 MB)');
  assert.equal(detail, 'server from PATH');
  assert.equal(busy, false);
});

void test('what is not told is left out', () => {
  assert.equal(shown(running({ device: null, memory: null }), '').text, 'dgls: ready (embedded)');
});

void test('loading shows how much, where that is known', () => {
  assert.equal(shown(running({ state: 'loading', percent: 40 }), '').text, 'dgls: loading embedded 40 %');
  assert.equal(shown(running({ state: 'loading' }), '').text, 'dgls: loading embedded');
});

void test('a model at rest holds no memory, and says what will wake it', () => {
  const { text, detail, severity } = shown(running({ state: 'resting', memory: null, message: 'It comes back.' }), '');
  assert.equal(text, 'dgls: resting (embedded · cpu)');
  assert.deepEqual([detail, severity], ['It comes back.', 'information']);
});

void test('who is ready but short of memory warns of it', () => {
  const { text, detail, severity, busy } = shown(running({ state: 'working', message: 'Memory ran out.' }), '');
  assert.equal(text, 'dgls: working (embedded · cpu · 6 MB)');
  assert.deepEqual([detail, severity, busy], ['Memory ran out.', 'warning', true]);
  assert.equal(shown(running({ state: 'paused', message: 'Off.' }), '').severity, 'information');
});

void test('a pause says until when or where, and offers the end of it', () => {
  const { text, button } = shown(running(), 'in python files');
  assert.equal(text, 'dgls: paused in python files');
  assert.equal(button.command, 'dgls.resume');
});

void test('each failure has its advice and a button', () => {
  const missing = shown({ at: 'failed', advice: 'There is no dgls.', remedy: 'install' }, '');
  assert.deepEqual([missing.severity, missing.detail], ['error', 'There is no dgls.']);
  assert.equal(missing.button.command, 'dgls.install');
  const model = shown(running({ state: 'failed', message: 'No such model.' }), '');
  assert.deepEqual([model.severity, model.detail], ['error', 'No such model.']);
  assert.equal(model.button.command, 'workbench.action.openSettings');
});

void test('the last suggestion in one line', () => {
  const last = { uri: 'file:///a.py', milliseconds: 212.4, steps: 7, confidence: 0.81 };
  assert.equal(lastShown(last).text, '212 ms · 7 steps · 81 % sure');
  assert.equal(lastShown({ ...last, steps: 0 }).text, '212 ms · typed through, no steps · 81 % sure');
});
