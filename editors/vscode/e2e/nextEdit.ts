/** Next edits: shown in place after an edit; Tab jumps and applies, Esc dismisses, and Tab is a tab without one. */
import assert from 'node:assert/strict';
import type { Case, Part } from './cases.ts';
import type { Editor } from './editor.ts';
import type { Hands } from './hands.ts';
import type { Program } from './scripted.ts';
import { inOneWindow } from './ui.ts';

const AREA = `def area(w|, height):
    double = 2 * w
    print(double)
    return w * height


def other():
    pass
`;
const RENAMED = AREA.replace('|', '').replaceAll(/\bw\b/g, 'width');
const FAR = AREA.replace('    return', `${'    print(double)\n'.repeat(60)}    return`).replace('2 * w', '2');
const WAIT_MS = 1500;

const proposing: Case[] = [
  {
    name: 'after a rename Tab jumps to the next place and applies it, and so on to the last',
    file: 'rename.py',
    at: AREA,
    run: async (hands, program) => {
      await hands.type('idth');
      await seePainted(hands, 'width', '   Tab: next edit on line 2');
      await hands.picture('next-edit');
      await hands.press('Tab');
      await seePainted(hands, 'width', '   Tab: apply');
      await hands.picture('next-edit-there');
      await hands.press('Tab');
      await seePainted(hands, 'width', '   Tab: next edit on line 4');
      await hands.press('Tab', 'Tab');
      await seePainted(hands);
      assert.equal(await hands.saved('rename.py'), RENAMED);
      assert.ok(program.entries('scores').length >= 2); // a suggestion may interrupt a search
    },
  },
  {
    name: 'one undo takes an applied place back, and nothing is proposed after an undo',
    file: 'undo.py',
    at: AREA,
    run: async (hands, program) => {
      await hands.type('idth');
      await seePainted(hands, 'width', '   Tab: next edit on line 2');
      await hands.press('Tab', 'Tab');
      await seePainted(hands, 'width', '   Tab: next edit on line 4');
      const asked = program.entries('scores').length;
      await hands.press('Control+z');
      await hands.page.waitForTimeout(WAIT_MS);
      assert.equal(await hands.painted(), '');
      assert.equal(program.entries('scores').length, asked);
      assert.equal(await hands.saved('undo.py'), AREA.replace('w|', 'width'));
    },
  },
  {
    name: 'Esc dismisses a place, which is not proposed again',
    file: 'dismiss.py',
    at: AREA,
    run: async (hands) => {
      await hands.type('idth');
      await seePainted(hands, 'width', '   Tab: next edit on line 2');
      await hands.press('Escape');
      await seePainted(hands);
      await hands.command('dgls: Next Edit');
      await seePainted(hands, 'width', '   Tab: next edit on line 4');
      await hands.press('Escape');
      await seePainted(hands);
    },
  },
  {
    name: 'typing drops a proposal, and Tab is a tab where it indents',
    file: 'typing.py',
    at: AREA,
    run: async (hands) => {
      await hands.type('idth');
      await seePainted(hands, 'width', '   Tab: next edit on line 2');
      await hands.press('Control+End');
      await seePainted(hands, 'width');
      await hands.press('Tab');
      await seePainted(hands);
      assert.equal(await hands.saved('typing.py'), `${AREA.replace('w|', 'width')}    `);
    },
  },
  {
    name: 'a place out of sight has a hint alone, and Tab reveals it',
    file: 'far.py',
    at: FAR,
    run: async (hands) => {
      await hands.type('idth');
      await seePainted(hands, '   Tab: next edit on line 64');
      await hands.picture('next-edit-far');
      await hands.press('Tab');
      await seePainted(hands, 'width', '   Tab: apply');
      await hands.press('Tab');
      await seePainted(hands);
      assert.ok((await hands.saved('far.py')).includes('return width * height'));
    },
  },
  {
    name: 'a place in another file is named, and Tab opens that file',
    file: 'user.py',
    at: 'from dismiss import other|\n',
    run: async (hands) => {
      await hands.open('dismiss.py', AREA.replace('|', '').replace('def other', 'def other|'));
      await hands.type('_one');
      await seePainted(hands, '   Tab: next edit in user.py, line 1');
      await hands.press('Tab');
      await hands.page.locator('.tab.active[data-resource-name="user.py"]').waitFor();
      await seePainted(hands, 'other_one', '   Tab: apply');
      await hands.picture('next-edit-elsewhere');
      await hands.press('Tab');
      await seePainted(hands);
      assert.equal(await hands.saved('user.py'), 'from dismiss import other_one\n');
    },
  },
  {
    name: 'without a next edit nothing is shown, Tab is a tab, and the command says why',
    file: 'none.py',
    at: 'total = 1|\n',
    run: async (hands) => {
      await hands.type('2');
      await hands.page.waitForTimeout(WAIT_MS);
      assert.equal(await hands.painted(), '');
      await hands.press('Tab');
      assert.equal(await hands.saved('none.py'), 'total = 12  \n');
      await hands.press('Backspace');
      await hands.command('dgls: Next Edit');
      await hands.page.locator('#status\\.notifications').click();
      await hands.page.locator('.notifications-center', { hasText: 'dgls has no next edit: ' }).waitFor();
      await hands.picture('next-edit-none');
      await hands.press('Escape');
    },
  },
];

const beside: Case[] = [
  {
    name: 'beside ghost text a proposal has no hint, and Tab accepts the ghost text',
    file: 'beside.py',
    at: AREA,
    run: async (hands) => {
      await hands.type('idth');
      await hands.seeGhost('_of');
      await seePainted(hands, 'width');
      await hands.picture('next-edit-beside');
      await hands.press('Tab');
      await hands.until('accepted', async () => (await hands.saved('beside.py')).startsWith('def area(width_of,'));
    },
  },
];

const ALONE: Part = { script: { confidence: 0 }, cases: proposing };
const BESIDE: Part = { script: { texts: ['_of'] }, cases: beside };

export async function nextEdit(editor: Editor, program: Program, pictures: string): Promise<void> {
  program.scripted({});
  const settings = { 'dgls.nextEdit': true, 'editor.quickSuggestions': false }; // Tab accepts what a menu offers
  await editor.start({ 'dgls.server.path': program.path, ...settings });
  for (const part of [ALONE, BESIDE]) {
    await inOneWindow(part, editor, program, pictures);
  }
}

/** Wait until exactly these texts are painted. */
export async function seePainted(hands: Hands, ...texts: string[]): Promise<void> {
  const rest = async () => texts.reduce((left, text) => left.replace(text, ''), await hands.painted());
  await hands.until(
    texts.join(' and ') || 'nothing painted',
    async () => (await rest()) === '' && texts.join('').length === (await hands.painted()).length,
    () => hands.painted(),
  );
}
