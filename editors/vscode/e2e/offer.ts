/** Without a server: the extension offers to install one, does nothing unasked, and installs the wheel on request. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync, realpathSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Locator } from 'playwright-core';
import type { Editor } from './editor.ts';
import { inWindow } from './hands.ts';
import { ROOT, type Program } from './scripted.ts';

const WHEEL = /dgls-[\d.]+-py3-none-any\.whl/;

export async function offer(editor: Editor, _program: Program, pictures: string): Promise<void> {
  const python = dirname(realpathSync(join(ROOT, '.venv', 'bin', 'python')));
  editor.write('basket.py', 'class Basket:\n    pass\n');
  // without the wheel's dependencies, which take gigabytes
  await editor.start({}, { PATH: `${python}:/usr/bin:/bin`, PIP_NO_DEPS: '1', PIP_NO_INDEX: '1' });
  const { version } = JSON.parse(readFileSync(join(ROOT, 'editors', 'vscode', 'package.json'), 'utf8')) as {
    version: string;
  };
  const storage = join(editor.folder, '..', 'user', 'User', 'globalStorage', 'dgls.dgls');
  const installed = join(storage, `server-${version}`, 'bin', 'dgls');
  await inWindow(editor, pictures, async (hands) => {
    const question = hands.page.locator('.notifications-center .monaco-list-row', { hasText: WHEEL });
    const center = hands.page.locator('#status\\.notifications'); // a window under test shows no toasts
    await hands.open('basket.py', 'class Basket:\n    pass|\n');
    await center.click();
    await question.waitFor();
    await hands.picture('offer');
    await press(question, 'No');
    await question.waitFor({ state: 'detached' });
    await hands.until('the failure', async () => (await hands.status()).includes('dgls: failed'));
    await hands.page.locator('#status\\.languageStatus').click();
    await hands.picture('failed');
    assert.ok(!existsSync(installed), 'something was installed unasked');
    console.log('ok: without a server it offers the wheel that it carries, by name, and installs nothing unasked');
    await hands.command('dgls: Install the Server That Comes with the Extension...');
    await center.click();
    await press(question, 'Install');
    await hands.until('it is installed', () => existsSync(installed));
    console.log('ok: told to, it installs that wheel into a folder of its own');
  });
}

/** A tooltip that fades in over the notification would take a click with the mouse. */
async function press(question: Locator, button: string): Promise<void> {
  await question.getByText(button, { exact: true }).dispatchEvent('click');
}
