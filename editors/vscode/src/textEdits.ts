/** A text with edits made, all of which speak of the text as it was. Pure. */

export interface Edit {
  start: number;
  end: number;
  text: string;
}

export function edited(text: string, edits: Edit[]): string {
  const descending = [...edits].sort((a, b) => b.start - a.start);
  return descending.reduce((now, { start, end, text: put }) => now.slice(0, start) + put + now.slice(end), text);
}
