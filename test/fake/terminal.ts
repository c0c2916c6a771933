import type { Sink, Terminal } from '../../src/cli/terminal.js';

export class FakeSink implements Sink {
  text = '';
  readonly colors = false;
  readerLeavesAfter = Number.POSITIVE_INFINITY;
  bytes = Buffer.alloc(0);
  private writes = 0;

  constructor(
    readonly isTty: boolean = false,
    private readonly width: number | null = null,
  ) {}

  write(piece: string | Uint8Array): void {
    this.text += typeof piece === 'string' ? piece : '';
    this.bytes = Buffer.concat([this.bytes, Buffer.from(piece)]);
    this.writes += 1;
  }

  async drained(): Promise<void> {}

  isOpen(): boolean {
    return this.writes < this.readerLeavesAfter;
  }

  columns(): number | null {
    return this.width;
  }
}

export interface FakeTerminal extends Terminal {
  readonly stdout: FakeSink;
  readonly stderr: FakeSink;
  readonly questions: readonly string[];
}

/** @param answers what a person types, one for each question; null: there is nobody to ask */
export function fakeTerminal(answers: readonly (string | null)[] | null = null): FakeTerminal {
  const questions: string[] = [];
  return {
    stdout: new FakeSink(),
    stderr: new FakeSink(),
    questions,
    openScreen: null,
    ask:
      answers === null
        ? null
        : async (question) => {
            questions.push(question);
            return answers[questions.length - 1] ?? null;
          },
  };
}
