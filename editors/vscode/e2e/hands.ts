/** A user's input and view in a window: keys, ghost text, lists, diffs. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import type { Editor } from './editor.ts';

const PATIENCE_MS = 60_000;
const TEXT = ':is(.editor-instance, .notebookOverlay)';

export class Hands {
  readonly page: Page;
  private readonly editor: Editor;
  private readonly pictures: string;

  constructor(page: Page, editor: Editor, pictures: string) {
    this.page = page;
    this.editor = editor;
    this.pictures = pictures;
  }

  /** Run a command of the palette by its full name. */
  async command(name: string): Promise<void> {
    await this.page.keyboard.press('F1');
    const box = this.page.locator('.quick-input-widget input');
    await box.fill(`>${name}`);
    await this.row(name).first().click();
    await this.page.mouse.move(700, 500); // so that no hover appears under it
  }

  /** Open a file with the cursor at the `|` of the given text. */
  async open(name: string, text: string): Promise<void> {
    const at = text.indexOf('|');
    const before = text.slice(0, at).split(/\r?\n/);
    await this.page.keyboard.press('Control+p');
    const box = this.page.locator('.quick-input-widget input');
    await box.fill(`${name}:${before.length}:${(before.at(-1) ?? '').length + 1}`);
    await this.page.locator('.quick-input-list .monaco-list-row.focused', { hasText: name }).waitFor();
    await this.page.keyboard.press('Enter');
    await this.page.locator(`.tab.active[data-resource-name="${name}"]`).waitFor({ timeout: PATIENCE_MS });
    await this.page.locator('.quick-input-widget').waitFor({ state: 'hidden', timeout: PATIENCE_MS });
    await this.page.locator('.editor-instance .monaco-editor.focused').waitFor({ timeout: PATIENCE_MS });
    await this.until('the cursor is there', async () =>
      (await this.page.locator('.statusbar').innerText()).includes(`Ln ${before.length}, Col `),
    );
  }

  /** The content behind the braces in the status bar. */
  async status(): Promise<string> {
    await this.page.locator('#status\\.languageStatus').click();
    const shown = await this.page.locator('.hover-language-status').allInnerTexts();
    await this.press('Escape');
    return shown.join('\n');
  }

  async ready(): Promise<void> {
    await this.until(
      'the model is ready',
      async () => (await this.status()).includes('dgls: ready'),
      () => this.status(),
    );
    await this.page.locator('.editor-instance .view-lines').click();
  }

  async type(text: string, delay = 20): Promise<void> {
    await this.page.keyboard.type(text, { delay });
  }

  async press(...keys: string[]): Promise<void> {
    for (const key of keys) {
      await this.page.keyboard.press(key);
    }
  }

  /** The ghost text, its lines joined; empty without any. */
  async ghost(): Promise<string> {
    const first = await this.page.locator(`${TEXT} .view-lines .ghost-text-decoration`).allTextContents();
    const more = await this.page.locator(`${TEXT} .suggest-preview-text .view-line`).allTextContents();
    return [first.join(''), ...more].join('\n').replaceAll('\u00a0', ' ').trimEnd();
  }

  /** Is the completion menu open? */
  menu(): Promise<boolean> {
    return this.page.locator('.suggest-widget.visible').isVisible();
  }

  async seeGhost(expected: string): Promise<void> {
    await this.until(
      `ghost text ${JSON.stringify(expected)}`,
      async () => (await this.ghost()) === expected,
      () => this.ghost(),
    );
  }

  /** Save the file and return its content. */
  async saved(name: string): Promise<string> {
    await this.until('saved', async () => {
      await this.press('Control+s');
      return (await this.page.locator('.tab.active.dirty').count()) === 0;
    });
    let content = '';
    await this.until('written', () => (content = this.editor.read(name)) !== ''); // a second save may be on its way
    return content;
  }

  /** The lines in sight and the notifications, for whoever reads of a failure. */
  async shown(): Promise<string> {
    return (await this.page.locator(`${TEXT} .view-line, .notification-list-item`).allInnerTexts()).join('\n');
  }

  /** The texts that the extension paints among the code, in order. */
  painted(): Promise<string> {
    return this.page.evaluate((text) => {
      const painted = [...document.querySelectorAll(`${text} .view-lines [class*=TextEditorDecorationType]`)];
      const contents = painted.map((element) => getComputedStyle(element, '::before').content);
      return contents
        .filter((content) => content.startsWith('"'))
        .map((content) => content.slice(1, -1))
        .join('')
        .replaceAll('\u00a0', ' ');
    }, TEXT);
  }

  row(label: string) {
    return this.page.locator('.quick-input-list .monaco-list-row', { hasText: label });
  }

  async until(what: string, holds: () => Promise<boolean> | boolean, found?: () => unknown): Promise<void> {
    const end = Date.now() + PATIENCE_MS;
    while (!(await holds())) {
      if (Date.now() > end) {
        assert.fail(`not seen: ${what}${found === undefined ? '' : `, but ${JSON.stringify(await found())}`}`);
      }
      await this.page.waitForTimeout(30);
    }
  }

  async picture(name: string): Promise<void> {
    await this.page.screenshot({ path: join(this.pictures, `${name}.png`) });
  }
}

/** Opens a window, calls `run` with it, and closes it. Takes a picture if that fails. */
export async function inWindow<T>(editor: Editor, pictures: string, run: (hands: Hands) => Promise<T>): Promise<T> {
  const page = await editor.window([]);
  const hands = new Hands(page, editor, pictures);
  try {
    return await run(hands);
  } catch (error) {
    await hands.picture('failure');
    throw error;
  } finally {
    await page.close();
  }
}
