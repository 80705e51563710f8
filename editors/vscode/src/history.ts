/** Earlier instructions, the newest first, without repetitions. Pure; the caller passes a store that lasts. */

export interface Store {
  get<T>(key: string, otherwise: T): T;
  update(key: string, value: unknown): Thenable<void>;
}

const KEY = 'dgls.instructions';
const MOST = 30;

export class History {
  constructor(private readonly store: Store) {}

  get instructions(): string[] {
    return this.store.get<string[]>(KEY, []);
  }

  async add(instruction: string): Promise<void> {
    const others = this.instructions.filter((other) => other !== instruction);
    await this.store.update(KEY, [instruction, ...others].slice(0, MOST));
  }
}
