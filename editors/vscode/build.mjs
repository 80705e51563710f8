// Bundles the extension into dist/; with --tests its unit tests into build/test/ as well.
import { readdirSync } from 'node:fs';
import { build } from 'esbuild';

const common = { bundle: true, format: 'cjs', logLevel: 'warning', platform: 'node', target: 'node20' };

await build({
  ...common,
  entryPoints: ['src/extension.ts'],
  external: ['vscode'],
  legalComments: 'eof',
  minify: true,
  outfile: 'dist/extension.js',
});

if (process.argv.includes('--tests')) {
  const files = readdirSync('test').filter((name) => name.endsWith('.test.ts'));
  await build({
    ...common,
    entryPoints: files.map((name) => `test/${name}`),
    outExtension: { '.js': '.cjs' },
    outdir: 'build/test',
  });
}
