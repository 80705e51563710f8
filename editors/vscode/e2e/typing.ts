/** Typing: ghost text is accepted whole, by word or by line; typed through; replaced; dismissed. */
import assert from 'node:assert/strict';
import { BASKET, type Case, type Part } from './cases.ts';

const APPEND = 'append(item)';
const STUB = BASKET.replace('self.items|', '|');
const BODY = ['self.items.append(item)', 'return self'];

const typing: Case[] = [
  {
    name: 'types, sees ghost text, accepts all of it',
    file: 'whole.py',
    at: BASKET,
    run: async (hands) => {
      await hands.type('.');
      await hands.seeGhost(APPEND);
      await hands.picture('ghost');
      await hands.press('Tab');
      assert.equal(await hands.saved('whole.py'), BASKET.replace('|', `.${APPEND}`));
    },
  },
  {
    name: 'accepts a word',
    file: 'word.py',
    at: BASKET,
    run: async (hands) => {
      await hands.type('.');
      await hands.seeGhost(APPEND);
      await hands.press('Control+ArrowRight');
      await hands.seeGhost('(item)');
      assert.equal(await hands.saved('word.py'), BASKET.replace('|', '.append'));
    },
  },
  {
    name: 'types through without asking the engine again',
    file: 'through.py',
    at: BASKET,
    run: async (hands, program) => {
      await hands.type('.');
      await hands.seeGhost(APPEND);
      const asked = program.entries('infill').length;
      await hands.type('app');
      await hands.seeGhost(APPEND.slice('app'.length));
      assert.equal(program.entries('infill').length, asked);
    },
  },
  {
    name: 'Esc takes the ghost text away',
    file: 'esc.py',
    at: BASKET,
    run: async (hands) => {
      await hands.type('.');
      await hands.seeGhost(APPEND);
      await hands.press('Escape');
      await hands.seeGhost('');
    },
  },
  {
    name: 'one Esc takes the menu and the ghost text away, and neither comes back',
    file: 'menu.py',
    at: BASKET,
    run: async (hands) => {
      await hands.type('.');
      await hands.seeGhost(APPEND);
      await hands.press('Control+Space');
      await hands.until('the menu', () => hands.menu());
      await hands.until('what the menu selects', async () => (await hands.ghost()) !== APPEND);
      await hands.press('Escape');
      await hands.until('no menu', async () => !(await hands.menu()));
      await hands.seeGhost('');
      await hands.page.waitForTimeout(1500);
      assert.equal(await hands.ghost(), '');
      assert.equal(await hands.menu(), false);
    },
  },
  {
    name: 'counts positions right behind emoji',
    file: 'emoji.py',
    at: 's = "🎉🎉"; t|\n',
    run: async (hands) => {
      await hands.type('.');
      await hands.seeGhost(APPEND);
      await hands.picture('emoji');
      await hands.press('Tab');
      assert.equal(await hands.saved('emoji.py'), `s = "🎉🎉"; t.${APPEND}\n`);
    },
  },
  {
    name: 'keeps the line breaks of a CRLF file',
    file: 'crlf.py',
    at: BASKET.replaceAll('\n', '\r\n'),
    run: async (hands) => {
      await hands.type('.');
      await hands.seeGhost(APPEND);
      await hands.press('Tab');
      assert.equal(await hands.saved('crlf.py'), BASKET.replace('|', `.${APPEND}`).replaceAll('\n', '\r\n'));
    },
  },
];

const lines: Case[] = [
  {
    name: 'shows several lines and accepts the first of them',
    file: 'lines.py',
    at: STUB,
    run: async (hands) => {
      await hands.press('Backspace', 'Tab');
      await hands.seeGhost(BODY.join('\n        '));
      await hands.picture('lines');
      await hands.press('Control+Shift+L');
      await hands.seeGhost('        return self');
      assert.ok((await hands.saved('lines.py')).includes(`        ${BODY[0] ?? ''}\n`));
    },
  },
];

const slow: Case[] = [
  {
    name: 'typing fast supersedes: one request runs at most',
    file: 'fast.py',
    at: BASKET,
    run: async (hands, program) => {
      await hands.type('.');
      await hands.until('the first request', () => program.entries('infill').length > 0);
      await hands.type('of_a_long_name.and_so_on.', 60);
      await hands.seeGhost(APPEND);
      assert.ok(program.entries('cancelled').length > 0, 'nothing was superseded');
      assert.equal(program.mostAtOnce, 1);
    },
  },
];

export const WORDS: Part = { script: { texts: [APPEND] }, cases: typing };
export const LINES: Part = { script: { texts: [BODY.join('\n        ')] }, cases: lines };
export const FAST: Part = { script: { texts: [APPEND], steps: 20, step_ms: 40 }, cases: slow };
