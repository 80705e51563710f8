/**
 * Measures latency in the window: from key to ghost text, and the editor's cost of typing. The model is the small one,
 * or the embedded one where that is missing, as for a person without settings. A scripted engine with a journal counts
 * how many requests run at once.
 */
import { loadavg } from 'node:os';
import type { Page } from 'playwright-core';
import type { Editor } from './editor.ts';
import { inWindow, type Hands } from './hands.ts';
import { noSmall, type Program } from './scripted.ts';

const ROUNDS = 30;
const TYPED = 'for entry in self.entries: total += entry.price * entry.count';
const KEYS_A_SECOND = 10;
const WAIT_MS = 4000;

/** The measurements that the page records. */
interface Notes {
  key: number;
  ghost: number;
  delays: number[];
  frames: number[];
}

declare global {
  interface Window {
    dglsNotes: Notes;
  }
}

export async function feel(editor: Editor, program: Program, pictures: string): Promise<void> {
  const load = loadavg()[0] ?? 0;
  const model = noSmall() === undefined ? 'small' : 'embedded';
  program.real();
  // show the least confident ones too: they take the same time
  const settings = { 'dgls.model': model, 'dgls.inlineCompletion.minConfidence': 0 };
  await editor.start({ 'dgls.server.path': program.path, ...settings });
  editor.write('ledger.py', ledger(ROUNDS));
  editor.write('typed.py', 'class Ledger:\n    def total(self):\n        \n');
  const { waits, notes } = await inWindow(editor, pictures, measured);
  const seen = waits.filter(Number.isFinite);
  const figures = {
    model,
    key_to_ghost_ms: { p50: quantile(seen, 0.5), p90: quantile(seen, 0.9), seen: seen.length, of: ROUNDS },
    event_delay_ms: {
      p50: quantile(notes.delays, 0.5),
      p90: quantile(notes.delays, 0.9),
      most: quantile(notes.delays, 1),
    },
    key_to_frame_ms: {
      p50: quantile(notes.frames, 0.5),
      p90: quantile(notes.frames, 0.9),
      most: quantile(notes.frames, 1),
    },
    engine_requests_at_once: await atOnce(editor, program, pictures),
    load_average: load,
  };
  console.log(JSON.stringify(figures));
}

async function measured(hands: Hands): Promise<{ waits: number[]; notes: Notes }> {
  const { page } = hands;
  await hands.open('ledger.py', 'class Ledger:\n|');
  await hands.ready();
  await page.evaluate(watch);
  const waits: number[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    waits.push(await toGhost(hands, page, 6 + 3 * round));
  }
  await hands.open('typed.py', 'class Ledger:\n    def total(self):\n        |\n');
  await page.evaluate(watch);
  await hands.type(TYPED.slice(0, 60), 1000 / KEYS_A_SECOND);
  await page.waitForTimeout(1000);
  return { waits, notes: await page.evaluate(() => window.dglsNotes) };
}

/** Milliseconds from the key to the ghost text at the end of a line; infinite without ghost text. */
async function toGhost(hands: Hands, page: Page, line: number): Promise<number> {
  await hands.press('Control+g');
  await page.locator('.quick-input-widget input').fill(`:${line}`);
  await hands.press('Enter', 'End');
  await page.locator('.editor-instance .monaco-editor.focused').waitFor();
  await page.waitForTimeout(300);
  await page.evaluate(() => (window.dglsNotes.ghost = Infinity));
  await hands.press('.');
  await page
    .waitForFunction(() => Number.isFinite(window.dglsNotes.ghost), null, { timeout: WAIT_MS })
    .catch(() => null);
  const waited = await page.evaluate(() => window.dglsNotes.ghost - window.dglsNotes.key);
  await hands.press('Escape', 'Escape', 'Backspace'); // a model would copy a line that ends in a dot
  return waited;
}

async function atOnce(editor: Editor, program: Program, pictures: string): Promise<number> {
  program.scripted({ texts: ['append(item)'], steps: 12, step_ms: 25 });
  await inWindow(editor, pictures, async (hands) => {
    await hands.until('the engine is open', () => program.entries('open').length > 0);
    await hands.open('typed.py', 'class Ledger:\n    def total(self):\n        |\n');
    await hands.type(TYPED.slice(0, 60), 1000 / KEYS_A_SECOND);
    await hands.page.waitForTimeout(1000);
  });
  return program.mostAtOnce;
}

/** Runs in the page: records the time and the delay of keys, and when ghost text appears. */
function watch(): void {
  const notes: Notes = { key: 0, ghost: Infinity, delays: [], frames: [] };
  window.dglsNotes = notes;
  addEventListener(
    'keydown',
    (event) => {
      notes.key = event.timeStamp;
      notes.delays.push(performance.now() - event.timeStamp);
      requestAnimationFrame(() => notes.frames.push(performance.now() - event.timeStamp));
    },
    { capture: true },
  );
  const look = () => {
    const there = document.querySelector('.editor-instance .view-lines .ghost-text-decoration') !== null;
    if (there && notes.ghost === Infinity) {
      notes.ghost = performance.now();
    }
  };
  new MutationObserver(look).observe(document.body, { childList: true, subtree: true });
}

function ledger(rounds: number): string {
  const head = 'class Ledger:\n    def __init__(self):\n        self.entries = []\n\n';
  const method = (index: number) => `    def step_${index}(self, entry):\n        self.entries\n\n`;
  return head + Array.from({ length: rounds }, (_, index) => method(index)).join('');
}

function quantile(values: number[], share: number): number | null {
  const sorted = [...values].sort((a, b) => a - b);
  const found = sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
  return found === undefined ? null : Math.round(10 * found) / 10;
}
