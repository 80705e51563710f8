/** A user's actions in a real window, with the real server and a scripted engine. */
import type { Part } from './cases.ts';
import type { Editor } from './editor.ts';
import { inWindow } from './hands.ts';
import { REWRITING, SLOWLY } from './rewriting.ts';
import type { Program } from './scripted.ts';
import { FAST, LINES, WORDS } from './typing.ts';

export async function ui(editor: Editor, program: Program, pictures: string): Promise<void> {
  program.scripted({});
  await editor.start({ 'dgls.server.path': program.path });
  for (const part of [WORDS, LINES, FAST, REWRITING, SLOWLY]) {
    await inOneWindow(part, editor, program, pictures);
  }
}

export async function inOneWindow(
  { script, cases }: Part,
  editor: Editor,
  program: Program,
  pictures: string,
): Promise<void> {
  program.scripted(script);
  for (const { file, at } of cases) {
    editor.write(file, at.replace('|', ''));
  }
  await inWindow(editor, pictures, async (hands) => {
    await hands.until('the engine is open', () => program.entries('open').length > 0);
    for (const { name, file, at, run } of cases) {
      await hands.open(file, at);
      try {
        await run(hands, program);
      } catch (error) {
        console.log(`the window's text:\n${await hands.shown()}\nthe engine's journal ends:`, program.lately());
        throw error;
      }
      console.log(`ok: ${name}`);
    }
  });
}
