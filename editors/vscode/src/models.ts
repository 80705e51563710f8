/** The models of this machine as lines of a list. Pure. */
import type { Model, Models } from './protocol';

export interface Choice {
  /** What the setting `dgls.model` becomes. */
  name: string;
  label: string;
  description: string;
  detail: string;
}

const AUTO: Model = { name: 'auto', parameters: 0, bytes: 0, licence: '', stepMs: null, problem: '' };

export function choicesOf({ chosen, models }: Models): Choice[] {
  const auto = { ...choice(AUTO, chosen), description: 'the small model, if it is here' };
  return [auto, ...models.map((model) => choice(model, chosen))];
}

function choice(model: Model, chosen: string): Choice {
  const { name, parameters, bytes, licence, stepMs, problem } = model;
  const facts = [parameters > 0 ? `${rounded(parameters / 1e6)} M parameters` : '', size(bytes), licence];
  const speed = stepMs === null ? '' : `${rounded(stepMs)} ms a step on this machine`;
  return {
    name,
    label: name === chosen ? `$(check) ${name}` : name,
    description: facts.filter((fact) => fact !== '').join(' · '),
    detail: problem === '' ? speed : `$(warning) ${problem}`,
  };
}

/** In powers of ten, like disks; empty for none. */
function size(bytes: number): string {
  if (bytes === 0) {
    return '';
  }
  return bytes >= 1e9 ? `${(bytes / 1e9).toFixed(1)} GB` : `${rounded(bytes / 1e6)} MB`;
}

function rounded(value: number): string {
  return value >= 10 ? value.toFixed(0) : value.toFixed(1);
}
