/** Without a server: what the extension offers, and that it does nothing by itself. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Editor } from './editor.ts';
import { inWindow } from './hands.ts';
import type { Program } from './scripted.ts';

export async function offer(editor: Editor, _program: Program, pictures: string): Promise<void> {
  editor.write('basket.py', 'class Basket:\n    pass\n');
  await editor.start({}, { PATH: '/usr/bin:/bin' });
  await inWindow(editor, pictures, async (hands) => {
    await hands.open('basket.py', 'class Basket:\n    pass|\n');
    const toast = hands.page.locator('.notification-toast', { hasText: /dgls-[\d.]+-py3-none-any\.whl/ });
    await toast.waitFor();
    await hands.picture('offer');
    assert.ok((await hands.status()).includes('dgls: failed'));
    await hands.picture('failed');
    await toast.hover();
    await toast.getByText('No', { exact: true }).click();
    await toast.waitFor({ state: 'detached' });
  });
  const storage = join(editor.folder, '..', 'user', 'User', 'globalStorage', 'dgls.dgls');
  assert.ok(!existsSync(join(storage, 'server-0.1.0')), 'something was installed');
  console.log('ok: without a server it offers the wheel that it carries, by name, and installs nothing unasked');
}
