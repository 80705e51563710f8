/**
 * The parts of `dgls serve`'s protocol that LSP does not define (docs/protocol.md). Pure.
 */
import type { Position, Range, WorkspaceEdit } from 'vscode-languageserver-protocol';

export const STATUS = 'dgls/status';
export const DRAFT = 'dgls/draft';
export const SUGGESTED = 'dgls/suggested';
export const MODELS = 'dgls/models';
export const NEXT_EDIT = 'dgls/nextEdit';
export const ANSWERED = 'dgls/nextEditAnswered';

/** The notifications that this client wants, sent under `capabilities.experimental`. */
export interface ExperimentalCapabilities {
  dgls: { draft: boolean; suggested: boolean };
}

/** A strength for `dgls.rewrite`: the share of the tokens that is regenerated. */
export interface Strength {
  name: string;
  strength: number;
}

/** The strengths that the server announces under `capabilities.experimental`; none without a running server. */
export function strengthsIn(experimental: unknown): Strength[] {
  return (experimental as { dgls?: { strengths?: Strength[] } } | undefined)?.dgls?.strengths ?? [];
}

export interface Status {
  state: 'loading' | 'ready' | 'working' | 'resting' | 'paused' | 'failed';
  model: string;
  device: string | null;
  message: string;
  percent: number | null;
  memory: number | null;
  instructions: boolean | null;
  /** Of a server that runs the model: empty if it is well. */
  health?: string;
  holder?: string;
}

/** A model on this machine. */
export interface Model {
  name: string;
  parameters: number;
  bytes: number;
  /** Empty if it is not known. */
  licence: string;
  /** Null if it did not run here yet. */
  stepMs: number | null;
  /** Why it cannot be used, else empty. */
  problem: string;
}

/** The answer to `dgls/models`. `chosen` is the setting. */
export interface Models {
  chosen: string;
  models: Model[];
}

export interface Suggested {
  uri: string;
  milliseconds: number;
  steps: number;
  /** Absent if the model has no calibration. */
  confidence?: number;
}

export interface Token {
  text: string;
  certainty: number;
}

export interface DraftHole {
  range: Range;
  text: string;
  tokens: Token[];
}

export interface Draft {
  request: string;
  uri: string;
  version: number;
  candidate?: number;
  holes: DraftHole[];
  done?: boolean;
}

/** The confidence for people, after a separator; empty if there is none. */
export function sure(confidence: number | undefined, separator: string): string {
  return confidence === undefined ? '' : `${separator}${Math.round(100 * confidence)} % sure`;
}

/** The parameters of `dgls.rewrite`; with a `strength` the selection is refined. */
export interface Rewriting {
  uri: string;
  version: number;
  range: Range;
  instruction?: string;
  keep: number[];
  strength?: number;
  seed?: number;
  preview: boolean;
}

/** The parameters of `dgls.fill`. */
export interface Filling {
  uri: string;
  version: number;
  position: Position;
  all: boolean;
}

export interface Candidate {
  edit: WorkspaceEdit;
  /** Absent if the model has no calibration. */
  confidence?: number;
  warning: string;
}

/** The parameters of `dgls/nextEdit`. */
export interface NextEditAsking {
  textDocument: { uri: string; version: number };
  position: Position;
  invoked: boolean;
}

/** A proposed change. */
export interface NextEdit {
  id: string;
  uri: string;
  version: number;
  range: Range;
  newText: string;
}

/** `reason`: why there is none, for a user who asked. */
export interface NextEditAnswer {
  edit: NextEdit | null;
  reason: string;
}

/** The parameters of `dgls/nextEditAnswered`. */
export interface Answered {
  id: string;
  accepted: boolean;
}

/** The result of a command. `candidates` are there for a preview. */
export interface Result {
  applied: boolean;
  candidates?: Candidate[];
}
