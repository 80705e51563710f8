import assert from 'node:assert/strict';
import { test } from 'node:test';
import { withoutPythonSettings } from '../src/environment';

void test("withoutPythonSettings drops the user's Python settings and keeps all else", () => {
  const environment = { PYTHONPATH: '.', PYTHONOPTIMIZE: '2', PATH: '/usr/bin', PYTHONUSERBASE: '/opt' };
  assert.deepEqual(withoutPythonSettings(environment), { PATH: '/usr/bin', PYTHONUSERBASE: '/opt' });
});

void test('withoutPythonSettings on Windows drops names in any case', () => {
  assert.deepEqual(withoutPythonSettings({ PythonPath: '.', Path: 'C:/' }), { Path: 'C:/' });
});
