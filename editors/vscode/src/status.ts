/** What the status item shows. Pure: no VS Code, no clock; `statusItem.ts` shows it. */
import { sure, type Status, type Suggested } from './protocol';

/** What the button of a failure does. */
export type Remedy = 'install' | 'settings' | 'restart' | 'log';

/** The server's state. `from`: where it was found. `status`: what it last reported. */
export type Life =
  | { at: 'looking' }
  | { at: 'starting'; from: string }
  | { at: 'running'; from: string; status: Status | undefined }
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

/** `paused`: why the focused editor gets no automatic suggestions; empty if it gets them. */
export function shown(life: Life, paused: string): Shown {
  switch (life.at) {
    case 'looking':
      return { ...calm('dgls: looking for the server', ''), busy: true, button: REMEDIES.log };
    case 'starting':
      return { ...calm('dgls: starting', `server from ${life.from}`), busy: true, button: REMEDIES.log };
    case 'failed':
      return failed(life.advice, life.remedy);
    case 'running':
      return running(life.status, `server from ${life.from}`, paused);
  }
}

function running(status: Status | undefined, from: string, paused: string): Shown {
  if (status === undefined) {
    return { ...calm('dgls: starting', from), busy: true, button: REMEDIES.log };
  }
  if (status.state === 'failed') {
    return failed(status.message, 'settings');
  }
  if (status.state === 'loading') {
    const percent = status.percent === null ? '' : ` ${status.percent} %`;
    return { ...calm(`dgls: loading ${status.model}${percent}`, from), busy: true, button: REMEDIES.log };
  }
  const health = status.health ? `, ${status.health}` : '';
  const holder = status.holder ? `, in another window's dgls (${status.holder})` : '';
  const device = status.device === null ? null : `${status.device}${holder}${health}`;
  const parts = [status.model, device, status.memory === null ? null : sizeOf(status.memory)];
  const model = parts.filter((part) => part !== null).join(' · ');
  const busy = status.state === 'working';
  if (paused !== '') {
    return { ...calm(`dgls: paused ${paused}`, `${model}. ${from}`), busy, button: RESUME };
  }
  if (status.state === 'resting') {
    return { ...calm(`dgls: resting (${model})`, status.message), button: PAUSE };
  }
  const state = calm(`dgls: ${busy ? 'working' : 'ready'} (${model})`, from);
  // A message in the state `ready` or `working` reports a lack of memory. In `paused` it only repeats the setting.
  const outOfMemory = status.state !== 'paused' && status.message !== '';
  return outOfMemory ? { ...state, busy, severity: 'warning', detail: status.message } : { ...state, busy };
}

/** The second item: time and steps of the last suggestion. */
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

function sizeOf(bytes: number): string {
  const megabytes = bytes / 1e6;
  return megabytes < 1000 ? `${Math.max(1, Math.round(megabytes))} MB` : `${(megabytes / 1000).toFixed(1)} GB`;
}
