/** Applies edits to a text. All offsets count in the original text. Pure. */

export interface Edit {
  start: number;
  end: number;
  text: string;
}

export function edited(text: string, edits: Edit[]): string {
  const descending = [...edits].sort((a, b) => b.start - a.start);
  return descending.reduce((now, { start, end, text: put }) => now.slice(0, start) + put + now.slice(end), text);
}
