import type { Sink, Terminal } from '../../src/cli/terminal.js';

export class FakeSink implements Sink {
  text = '';
  readonly colors = false;

  constructor(
    readonly isTty: boolean = false,
    private readonly width: number | null = null,
  ) {}

  write(text: string): void {
    this.text += text;
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
    ask:
      answers === null
        ? null
        : async (question) => {
            questions.push(question);
            return answers[questions.length - 1] ?? null;
          },
  };
}
