/** Runs the suite of host/ in a window's extension host, and prints its output. */
import { join } from 'node:path';
import { build } from 'esbuild';
import type { Editor } from './editor.ts';
import type { Program } from './scripted.ts';

export async function hosted(editor: Editor, program: Program): Promise<void> {
  const suite = join(import.meta.dirname, '..', 'build', 'e2e', 'suite.cjs');
  await build({
    entryPoints: [join(import.meta.dirname, 'host', 'suite.ts')],
    bundle: true,
    define: { 'import.meta.dirname': JSON.stringify(import.meta.dirname) },
    external: ['vscode'],
    format: 'cjs',
    logLevel: 'warning',
    outfile: suite,
    platform: 'node',
  });
  program.scripted({});
  await editor.start({ 'dgls.server.path': program.path });
  let ended: (code: number) => void = () => undefined;
  const code = new Promise<number>((resolve) => (ended = resolve));
  const under = [
    ['extensionDevelopmentPath', editor.remote(editor.installed)],
    ['extensionTestsPath', editor.remote(suite)],
  ] as [string, string][];
  const page = await editor.window(under, async (fresh) => {
    await fresh.exposeFunction('codeAutomationLog', (_level: string, said: unknown[]) => {
      if (/^(ok|failed): /.test(String(said[0]))) {
        console.log(said.join(' ')); // VS Code logs a lot as well
      }
    });
    await fresh.exposeFunction('codeAutomationExit', ended);
  });
  const result = await code;
  await page.close();
  if (result !== 0) {
    throw new Error('the suite in the extension host failed');
  }
}
