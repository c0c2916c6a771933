import type { Readable, Writable } from 'node:stream';
import { SluiceError } from '../error/sluice-error.js';

export interface TextQuestion {
  readonly message: string;
  /** Taken where nothing is typed; null: something has to be. */
  readonly usual: string | null;
  /** What is wrong with an answer; null where nothing is. */
  readonly check?: (answer: string) => string | null;
}

/** Questions to a person, one after the other. Each ends with CANCELLED when they would rather not. */
export interface Interview {
  begin(title: string): void;
  text(question: TextQuestion): Promise<string>;
  /** What is typed is not shown; "" for nothing. */
  secret(message: string): Promise<string>;
  end(message: string): void;
}

/** Questions drawn by @clack/prompts on stderr, which is loaded only for them. */
export async function openInterview(input: Readable, output: Writable, signal: AbortSignal): Promise<Interview> {
  const clack = await import('@clack/prompts');
  const common = { input, output, signal };
  const answered = (answer: string | symbol | undefined): string => {
    if (typeof answer === 'symbol') {
      signal.throwIfAborted();
      throw new SluiceError({ code: 'CANCELLED', message: 'cancelled; nothing was written' });
    }
    return answer ?? '';
  };
  return {
    begin: (title) => clack.intro(title, { output }),
    text: async ({ message, usual, check }) =>
      answered(
        await clack.text({
          ...common,
          message,
          ...(usual === null ? {} : { placeholder: usual, defaultValue: usual }),
          validate: (typed) => {
            const answer = typed === undefined || typed === '' ? usual : typed;
            return answer === null ? 'an answer is needed' : (check?.(answer) ?? undefined);
          },
        }),
      ),
    secret: async (message) => answered(await clack.password({ ...common, message })),
    end: (message) => clack.outro(message, { output }),
  };
}
