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

function running(reported?: Partial<Status>): Life {
  return { at: 'running', from: 'PATH', status: { ...ready, ...reported } };
}

void test('shown of a ready server names model, device, memory and where the server was found', () => {
  const { text, detail, busy } = shown(running(), '');
  assert.equal(text, 'dgls: ready (embedded · cpu · 6 MB)');
  assert.equal(detail, 'server from PATH');
  assert.equal(busy, false);
});

void test('shown of a status without device and memory leaves them out', () => {
  assert.equal(shown(running({ device: null, memory: null }), '').text, 'dgls: ready (embedded)');
});

void test('shown of a team server that is not well names its health', () => {
  const reported = { device: 'vLLM at gpu.example', health: 'not answering', memory: null };
  assert.equal(shown(running(reported), '').text, 'dgls: ready (embedded · vLLM at gpu.example, not answering)');
});

void test('shown of a loading server gives the percentage if it is known', () => {
  assert.equal(shown(running({ state: 'loading', percent: 40 }), '').text, 'dgls: loading embedded 40 %');
  assert.equal(shown(running({ state: 'loading' }), '').text, 'dgls: loading embedded');
});

void test('shown of an unloaded model gives no memory, and says what loads it', () => {
  const { text, detail, severity } = shown(running({ state: 'resting', memory: null, message: 'It comes back.' }), '');
  assert.equal(text, 'dgls: resting (embedded · cpu)');
  assert.deepEqual([detail, severity], ['It comes back.', 'information']);
});

void test('shown of a working server with a message warns', () => {
  const { text, detail, severity, busy } = shown(running({ state: 'working', message: 'Memory ran out.' }), '');
  assert.equal(text, 'dgls: working (embedded · cpu · 6 MB)');
  assert.deepEqual([detail, severity, busy], ['Memory ran out.', 'warning', true]);
  assert.equal(shown(running({ state: 'paused', message: 'Off.' }), '').severity, 'information');
});

void test('shown of a pause says where it applies, and offers to resume', () => {
  const { text, button } = shown(running(), 'in python files');
  assert.equal(text, 'dgls: paused in python files');
  assert.equal(button.command, 'dgls.resume');
});

void test('shown of a failure gives advice and a button', () => {
  const missing = shown({ at: 'failed', advice: 'There is no dgls.', remedy: 'install' }, '');
  assert.deepEqual([missing.severity, missing.detail], ['error', 'There is no dgls.']);
  assert.equal(missing.button.command, 'dgls.install');
  const model = shown(running({ state: 'failed', message: 'No such model.' }), '');
  assert.deepEqual([model.severity, model.detail], ['error', 'No such model.']);
  assert.equal(model.button.command, 'workbench.action.openSettings');
});

void test('lastShown gives time, steps and confidence in one line', () => {
  const last = { uri: 'file:///a.py', milliseconds: 212.4, steps: 7, confidence: 0.81 };
  assert.equal(lastShown(last).text, '212 ms · 7 steps · 81 % sure');
  assert.equal(lastShown({ ...last, steps: 0 }).text, '212 ms · typed through, no steps · 81 % sure');
});
