/** The commands that change code: rewrite and refine a selection, fill a stub or all of a file's. */
import * as vscode from 'vscode';
import type { History } from './history';
import { askInstruction } from './instruction';
import { selectedIn, type Selected } from './selections';
import { SCHEME, type Preview, type Proposal } from './preview';
import { strengthsIn, sure, type Candidate, type Rewriting } from './protocol';
import type { Requests } from './requests';
import type { Server } from './server';

/** Different seeds may give the same text. */
const TRIES = 3;

/** `version`: when the command started. Typing while a question is open makes the place stale. */
interface Place extends Selected {
  document: vscode.TextDocument;
  version: number;
}

export class Changes {
  constructor(
    private readonly server: Server,
    private readonly requests: Requests,
    private readonly preview: Preview,
    private readonly history: History,
  ) {}

  async rewriteSelection(): Promise<void> {
    const place = selected();
    if (place === undefined) {
      return;
    }
    const instruction = this.takesInstructions ? await askInstruction(this.history) : '';
    if (instruction !== undefined) {
      await this.rewrite(place, instruction === '' ? {} : { instruction });
    }
  }

  async refine(): Promise<void> {
    const place = selected();
    if (place === undefined) {
      return;
    }
    const strengths = strengthsIn(this.server.running?.initializeResult?.capabilities.experimental);
    if (strengths.length === 0) {
      void vscode.window.showErrorMessage('The dgls server is not running, or it is older than this extension.');
      return;
    }
    const items = strengths.map(({ name, strength }) => ({
      label: name.charAt(0).toUpperCase() + name.slice(1),
      description: `regenerates the least certain ${Math.round(100 * strength)} % of the tokens`,
      strength,
    }));
    const title = 'How much of the selection may change?';
    const chosen = await vscode.window.showQuickPick(items, { title });
    if (chosen !== undefined) {
      await this.rewrite(place, { strength: chosen.strength });
    }
  }

  async fill(all: boolean): Promise<void> {
    const editor = writable();
    if (editor !== undefined) {
      const { uri, version } = editor.document;
      const { line, character } = editor.selection.active;
      await this.requests.fill({ uri: this.sent(uri), version, position: { line, character }, all });
    }
  }

  private get takesInstructions(): boolean {
    const life = this.server.life;
    return life.at === 'running' && life.status?.instructions === true;
  }

  private async rewrite({ document, version, range, keep }: Place, how: Partial<Rewriting>): Promise<void> {
    const preview = vscode.workspace.getConfiguration('dgls').get<boolean>('rewrite.preview', true);
    const rewriting: Rewriting = { uri: this.sent(document.uri), version, range, keep, preview, ...how };
    if (!preview) {
      await this.requests.rewrite(rewriting);
      return;
    }
    let seed = 0;
    const seen = new Set<string>();
    const propose = async (): Promise<Proposal | undefined> => {
      let candidate: Candidate | undefined;
      for (let tried = 0; tried < TRIES; tried += 1, seed += 1) {
        const result = await this.requests.rewrite({ ...rewriting, seed });
        candidate = result?.candidates?.[0] ?? candidate;
        if (candidate === undefined || !seen.has(JSON.stringify(candidate.edit))) {
          break;
        }
      }
      seed += 1;
      seen.add(JSON.stringify(candidate?.edit));
      return (
        candidate && this.proposal(document, version, candidate, how.strength === undefined ? 'rewrite' : 'refined')
      );
    };
    const first = await propose();
    if (first !== undefined) {
      await this.preview.show(first, propose);
    }
  }

  private async proposal(
    document: vscode.TextDocument,
    version: number,
    { edit, confidence, warning }: Candidate,
    what: string,
  ): Promise<Proposal | undefined> {
    const change = await this.server.running?.protocol2CodeConverter.asWorkspaceEdit(edit);
    const note = `${what}${sure(confidence, ', ')}${warning === '' ? '' : ', does not parse'}`;
    return change && { document, version, edits: change.get(document.uri), note };
  }

  /** The URI as the client sends it: the server knows the document by that. */
  private sent(uri: vscode.Uri): string {
    return this.server.running?.code2ProtocolConverter.asUri(uri) ?? uri.toString();
  }
}

/** As a plain object: VS Code's own classes become arrays in JSON. */
function sentRange({ start, end }: vscode.Range): Rewriting['range'] {
  return {
    start: { line: start.line, character: start.character },
    end: { line: end.line, character: end.character },
  };
}

/** The selection, or the cursor's line without one; undefined without an editor to change. */
function selected(): Place | undefined {
  const editor = writable();
  if (editor === undefined) {
    return undefined;
  }
  const { selections, document } = editor;
  const chosen = selections.filter((selection) => !selection.isEmpty);
  const ranges = chosen.length === 0 ? [document.lineAt(editor.selection.active).range] : chosen;
  return { document, version: document.version, ...selectedIn(ranges.map(sentRange)) };
}

function writable(): vscode.TextEditor | undefined {
  const editor = vscode.window.activeTextEditor;
  if (editor !== undefined && editor.document.uri.scheme !== SCHEME) {
    return editor;
  }
  void vscode.window.showInformationMessage('Put the cursor into the code to change.');
  return undefined;
}
