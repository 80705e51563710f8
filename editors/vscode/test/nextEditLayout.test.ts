import assert from 'node:assert/strict';
import { test } from 'node:test';
import { changed, changedLines, shownOf, stepOf, type View } from '../src/nextEditLayout';
import type { NextEdit } from '../src/protocol';

const EDIT: NextEdit = {
  id: '1',
  uri: 'file:///a.py',
  version: 2,
  range: { start: { line: 8, character: 4 }, end: { line: 8, character: 5 } },
  newText: 'width',
};
const VIEW: View = {
  uri: EDIT.uri,
  cursor: { line: 2, character: 7 },
  left: 'def f(w',
  single: true,
  suggested: false,
  visible: [{ start: 0, end: 30 }],
};

function shown(view: Partial<View>) {
  return shownOf(EDIT, { ...VIEW, ...view }, 'lib/a.py');
}

void test('shownOf a place on another line hints at that line, and Tab goes there', () => {
  assert.deepEqual(shown({}), { hint: 'Tab: next edit on line 9', tab: true, visible: true });
  assert.equal(stepOf(EDIT, VIEW), 'jump');
});

void test("shownOf a place on the cursor's line hints at applying it, even in the indentation", () => {
  const there = { cursor: { line: 8, character: 4 }, left: '    ' };
  assert.deepEqual(shown(there), { hint: 'Tab: apply', tab: true, visible: true });
  assert.equal(stepOf(EDIT, { ...VIEW, ...there }), 'apply');
});

void test('shownOf a place in another document names it', () => {
  const elsewhere = { uri: 'file:///b.py', cursor: { line: 8, character: 7 } };
  assert.equal(shown(elsewhere).hint, 'Tab: next edit in lib/a.py, line 9');
  assert.equal(stepOf(EDIT, { ...VIEW, ...elsewhere }), 'jump');
});

void test('shownOf leaves Tab alone where it indents, and with a selection or several cursors', () => {
  assert.deepEqual(shown({ left: '    ' }), { hint: '', tab: false, visible: true });
  assert.deepEqual(shown({ single: false }), { hint: '', tab: false, visible: true });
});

void test('shownOf leaves Tab alone if neither the cursor nor the place is in sight', () => {
  assert.deepEqual(shown({ visible: [{ start: 20, end: 40 }] }), { hint: '', tab: false, visible: false });
  assert.equal(shown({ visible: [{ start: 0, end: 4 }] }).tab, true);
  assert.deepEqual(shown({ visible: [{ start: 5, end: 12 }] }), { hint: '', tab: true, visible: true });
});

void test('shownOf beside a suggestion has no hint, and needs the place in sight', () => {
  assert.deepEqual(shown({ suggested: true }), { hint: '', tab: true, visible: true });
  assert.equal(shown({ suggested: true, visible: [{ start: 0, end: 4 }] }).tab, false);
});

void test('changed is the words that differ', () => {
  const cases: [string, string, ReturnType<typeof changed>][] = [
    ['w', 'width', { start: 0, end: 1, text: 'width' }],
    ['count', 'amount', { start: 0, end: 5, text: 'amount' }],
    ['f(a)', 'f(a, b)', { start: 3, end: 3, text: ', b' }],
    ['return w * 2', 'return width * 2', { start: 7, end: 8, text: 'width' }],
    ['f(a, b)', 'f(a)', { start: 3, end: 6, text: '' }],
    ['aa', 'a', { start: 0, end: 2, text: 'a' }],
    ['x = 1', 'x = 1', { start: 0, end: 5, text: 'x = 1' }],
    ['"🎉"', '"🎊"', { start: 1, end: 3, text: '🎊' }],
  ];
  for (const [old, text, expected] of cases) {
    const found = changed(old, text);
    assert.equal(old.slice(0, found.start) + found.text + old.slice(found.end), text);
    if (old !== text) {
      assert.deepEqual(found, expected, `${old} -> ${text}`);
    }
  }
});

void test('changedLines spans all changes, and the lines that they put', () => {
  const range = (first: number, last: number) => ({
    start: { line: first, character: 0 },
    end: { line: last, character: 3 },
  });
  assert.deepEqual(changedLines([{ range: range(4, 4), text: 'x' }]), { first: 4, last: 4 });
  assert.deepEqual(changedLines([{ range: range(4, 4), text: '\r\n    ' }]), { first: 4, last: 5 });
  assert.deepEqual(
    changedLines([
      { range: range(9, 9), text: 'x' },
      { range: range(2, 3), text: '' },
    ]),
    { first: 2, last: 9 },
  );
});
