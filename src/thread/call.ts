import { type MessagePort, parentPort, Worker } from 'node:worker_threads';
import { fromPlain, type PlainError, SluiceError, toPlain } from '../error/sluice-error.js';

/**
 * Calls into a worker thread: one message a call, one answer a call, answered in the order they were made.
 * A surface is a plain record of async functions whose arguments and results can be cloned.
 */
export type Surface = Record<string, (argument: never) => Promise<unknown>>;

/** So long a thread has to end by itself before it is ended. */
const END_WAIT_MS = 5_000;

/** Asks the thread to end once the calls before are answered and nothing of theirs is under way. */
const END = 'end';

interface CallMessage {
  readonly id: number;
  readonly method: string;
  readonly argument: unknown;
}

type AnswerMessage =
  | { readonly id: number; readonly ok: true; readonly result: unknown }
  | { readonly id: number; readonly ok: false; readonly error: PlainError }
  | { readonly id: 0; readonly event: unknown };

/** Runs in the worker: serves the surface's methods, one at a time, until the thread ends. */
export function serve(surface: Surface): void {
  const port = parentPort;
  if (port === null)
    throw new SluiceError({ code: 'INTERNAL', message: 'serve() was called outside of a worker thread' });
  let queue: Promise<void> = Promise.resolve();
  port.on('message', (message: CallMessage | typeof END) => {
    queue = queue.then(() => (message === END ? port.close() : answer(port, surface, message)));
  });
}

async function answer(port: MessagePort, surface: Surface, call: CallMessage): Promise<void> {
  let message: AnswerMessage;
  try {
    const method = surface[call.method];
    if (method === undefined) throw new SluiceError({ code: 'INTERNAL', message: `no method ${call.method}` });
    message = { id: call.id, ok: true, result: await method(call.argument as never) };
  } catch (error) {
    message = { id: call.id, ok: false, error: toPlain(error) };
  }
  port.postMessage(message);
}

/** Runs in the worker: tells the owner of the thread something outside of any answer. */
export function emitEvent(event: unknown): void {
  parentPort?.postMessage({ id: 0, event } satisfies AnswerMessage);
}

type Methods<S extends Surface> = {
  [K in keyof S]: (
    argument: Parameters<S[K]>[0],
    transfer?: readonly ArrayBuffer[] | readonly MessagePort[],
  ) => ReturnType<S[K]>;
};

export interface ThreadHandle<S extends Surface> {
  readonly call: Methods<S>;
  onEvent(listener: (event: unknown) => void): void;
  /**
   * Ends the thread once it has answered and what its calls left under way is through, after 5 s at once. For threads that
   * run DuckDB: a query of it that returns to a thread that is being ended aborts the process.
   */
  end(): Promise<void>;
  /** Ends the thread at once; open calls fail with CANCELLED. */
  terminate(): Promise<void>;
}

/**
 * Starts a worker thread and gives typed calls into it.
 * @param script the source module of the worker, as `new URL('./worker.js', import.meta.url)`; run from TypeScript
 *   sources (tests) it is looked up in dist/, as threads run compiled code only
 */
export function startThread<S extends Surface>(script: URL, name: string): ThreadHandle<S> {
  const worker = new Worker(compiled(script), { name, stdout: false, stderr: false });
  const open = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>();
  const listeners: ((event: unknown) => void)[] = [];
  let nextId = 1;
  let ended: SluiceError | null = null;

  const failAll = (error: SluiceError): void => {
    ended ??= error;
    for (const call of open.values()) call.reject(error);
    open.clear();
  };
  worker.on('message', (message: AnswerMessage) => {
    if ('event' in message) {
      for (const listener of listeners) listener(message.event);
      return;
    }
    const call = open.get(message.id);
    open.delete(message.id);
    if (open.size === 0) worker.unref();
    if (message.ok) call?.resolve(message.result);
    else call?.reject(fromPlain(message.error));
  });
  worker.on('error', (error) => {
    failAll(new SluiceError({ code: 'INTERNAL', message: `thread ${name} failed: ${error.message}`, cause: error }));
  });
  worker.on('exit', () => failAll(new SluiceError({ code: 'CANCELLED', message: `thread ${name} has ended` })));
  // An idle thread does not keep the process alive; one with an open call does.
  worker.unref();

  const call = new Proxy({} as Methods<S>, {
    get:
      (_target, method) =>
      (argument: unknown, transfer: readonly (ArrayBuffer | MessagePort)[] = []) =>
        new Promise((resolve, reject) => {
          if (ended !== null) {
            reject(ended);
            return;
          }
          const id = nextId;
          nextId += 1;
          open.set(id, { resolve, reject });
          worker.ref();
          worker.postMessage({ id, method: String(method), argument } satisfies CallMessage, [...transfer]);
        }),
  });
  return {
    call,
    onEvent: (listener) => {
      listeners.push(listener);
    },
    end: async () => {
      if (ended !== null) return;
      const exit = new Promise<void>((resolve) => worker.once('exit', () => resolve()));
      worker.ref();
      worker.postMessage(END);
      const patience = setTimeout(() => void worker.terminate(), END_WAIT_MS);
      await exit;
      clearTimeout(patience);
    },
    terminate: async () => {
      await worker.terminate();
    },
  };
}

function compiled(script: URL): URL {
  if (!script.pathname.includes('/src/')) return script;
  const at = script.href.lastIndexOf('/src/');
  return new URL(`${script.href.slice(0, at)}/dist/${script.href.slice(at + 5)}`);
}
