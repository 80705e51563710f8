import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isFound, locate, type Machine } from '../src/locate';

const nothing: Machine = {
  setting: '',
  home: '/home/ada',
  trusted: true,
  interpreter: () => Promise.resolve(undefined),
  hasServer: () => Promise.resolve(false),
  onPath: () => undefined,
  runnable: () => false,
  own: '/storage/bin/dgls',
};

const everywhere: Machine = {
  ...nothing,
  interpreter: () => Promise.resolve('/project/.venv/bin/python'),
  hasServer: () => Promise.resolve(true),
  onPath: () => '/usr/bin/dgls',
  runnable: () => true,
};

async function command(machine: Machine): Promise<string> {
  const found = await locate(machine);
  return isFound(found) ? [found.command, ...found.args].join(' ') : '';
}

void test('locate prefers the setting, then the interpreter, then PATH, then the installed program', async () => {
  assert.equal(await command({ ...everywhere, setting: '~/bin/dgls' }), '/home/ada/bin/dgls');
  assert.equal(await command(everywhere), '/project/.venv/bin/python -E -P -m dgls');
  assert.equal(await command({ ...everywhere, hasServer: () => Promise.resolve(false) }), '/usr/bin/dgls');
  assert.equal(await command({ ...nothing, runnable: () => true }), '/storage/bin/dgls');
});

void test('locate in an untrusted workspace runs no Python', async () => {
  const never = () => Promise.reject(new Error('asked'));
  assert.equal(await command({ ...everywhere, trusted: false, interpreter: never, hasServer: never }), '/usr/bin/dgls');
});

void test('locate with a missing program in the setting finds nothing and says so', async () => {
  const found = await locate({ ...everywhere, setting: '/gone/dgls', runnable: () => false });
  assert.ok(!isFound(found));
  assert.equal(found.installable, false);
  assert.match(found.advice, /\/gone\/dgls/);
});

void test('locate without a server names all places it looked at', async () => {
  const found = await locate({ ...nothing, interpreter: () => Promise.resolve('/usr/bin/python3') });
  assert.ok(!isFound(found));
  assert.equal(found.installable, true);
  assert.match(found.advice, /dgls\.server\.path.*\/usr\/bin\/python3.*PATH/);
});
