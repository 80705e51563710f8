/** A test case in a real window. */
import type { Hands } from './hands.ts';
import type { Program, Script } from './scripted.ts';

/** `at` is the text of `file` with the cursor at `|`. */
export interface Case {
  name: string;
  file: string;
  at: string;
  run: (hands: Hands, program: Program) => Promise<void>;
}

/** Steps in one window, with one script of the engine. */
export interface Part {
  script: Script;
  cases: Case[];
}

export const BASKET = `class Basket:
    def add(self, item):
        self.items|

    def count(self):
        return len(self.items)
`;
