/**
 * What the status item shows, from what is known. Pure: no VS Code, no clock; who paints it is `statusItem.ts`.
 */
import { sure, type Status, type Suggested } from './protocol';

/** What a button does about a failure. */
export type Remedy = 'install' | 'settings' | 'restart' | 'log';

/** Where the server's life stands. `from` says where it was found. */
export type Life =
  | { at: 'looking' }
  | { at: 'starting'; from: string }
  | { at: 'running'; from: string; told: Status | undefined }
  | { at: 'failed'; advice: string; remedy: Remedy };

export interface Button {
  title: string;
  command: string;
  arguments?: unknown[];
}

export interface Shown {
  text: string;
  detail: string;
  severity: 'information' | 'warning' | 'error';
  busy: boolean;
  button: Button;
}

const REMEDIES: Record<Remedy, Button> = {
  install: { title: 'Install...', command: 'dgls.install' },
  settings: {
    title: 'Open the settings',
    command: 'workbench.action.openSettings',
    arguments: ['@ext:dgls.dgls'],
  },
  restart: { title: 'Restart', command: 'dgls.restart' },
  log: { title: 'Show the log', command: 'dgls.showLog' },
};
const PAUSE: Button = { title: 'Pause...', command: 'dgls.pause' };
const RESUME: Button = { title: 'Resume', command: 'dgls.resume' };

/** `paused` is why no suggestion comes by itself in the editor that has the focus, empty where one does. */
export function shown(life: Life, paused: string): Shown {
  switch (life.at) {
    case 'looking':
      return { ...calm('dgls: looking for the server', ''), busy: true, button: REMEDIES.log };
    case 'starting':
      return { ...calm('dgls: starting', `server from ${life.from}`), busy: true, button: REMEDIES.log };
    case 'failed':
      return failed(life.advice, life.remedy);
    case 'running':
      return running(life.told, `server from ${life.from}`, paused);
  }
}

function running(told: Status | undefined, from: string, paused: string): Shown {
  if (told === undefined) {
    return { ...calm('dgls: starting', from), busy: true, button: REMEDIES.log };
  }
  if (told.state === 'failed') {
    return failed(told.message, 'settings');
  }
  if (told.state === 'loading') {
    const far = told.percent === null ? '' : ` ${told.percent} %`;
    return { ...calm(`dgls: loading ${told.model}${far}`, from), busy: true, button: REMEDIES.log };
  }
  const model = [told.model, told.device, told.memory === null ? null : inMegabytes(told.memory)];
  const what = model.filter((part) => part !== null).join(' · ');
  const busy = told.state === 'working';
  if (paused !== '') {
    return { ...calm(`dgls: paused ${paused}`, `${what}. ${from}`), busy, button: RESUME };
  }
  if (told.state === 'resting') {
    return { ...calm(`dgls: resting (${what})`, told.message), button: PAUSE };
  }
  const state = calm(`dgls: ${busy ? 'working' : 'ready'} (${what})`, from);
  // Who is ready and has something to say is short of memory; `paused` says what the user did.
  const short = told.state !== 'paused' && told.message !== '';
  return short ? { ...state, busy, severity: 'warning', detail: told.message } : { ...state, busy };
}

/** The second item: what the last suggestion took. */
export function lastShown(last: Suggested | undefined): Shown {
  const button = { title: 'Suggest now', command: 'editor.action.inlineSuggest.trigger' };
  if (last === undefined) {
    return { ...calm('No suggestion yet', ''), button };
  }
  const steps = last.steps === 0 ? 'typed through, no steps' : `${last.steps} step${last.steps === 1 ? '' : 's'}`;
  return {
    ...calm(`${Math.round(last.milliseconds)} ms · ${steps}${sure(last.confidence, ' · ')}`, 'The last suggestion'),
    button,
  };
}

function calm(text: string, detail: string): Shown {
  return { text, detail, severity: 'information', busy: false, button: PAUSE };
}

function failed(advice: string, remedy: Remedy): Shown {
  return { text: 'dgls: failed', detail: advice, severity: 'error', busy: false, button: REMEDIES[remedy] };
}

function inMegabytes(bytes: number): string {
  const megabytes = bytes / 1e6;
  return megabytes < 1000 ? `${Math.max(1, Math.round(megabytes))} MB` : `${(megabytes / 1000).toFixed(1)} GB`;
}
