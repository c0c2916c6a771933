import { MessageChannel, receiveMessageOnPort } from 'node:worker_threads';
import { fromPlain, SluiceError } from '../error/sluice-error.js';
import {
  ABANDONED,
  type ChannelEnd,
  type Envelope,
  INTERRUPT,
  INTERRUPTED,
  POSTED,
  SHARED_BYTES,
  TAKEN,
  WAIT_SLICE_MS,
} from './batch-channel.js';

/**
 * Several channels of batch-channel.ts that one receiver reads together: each sender has a window of its own, so no more
 * is under way than senders times window. The senders share a list of tasks: each claims the next that nobody has, until
 * there are none or somebody asks for a pause.
 */
export interface MergedChannel {
  readonly senders: readonly ChannelEnd[];
  readonly receiver: MergedEnd;
  /** For interruptReceiver, clearInterrupt and abandonReceiver; senders claim their tasks in it. */
  readonly control: SharedArrayBuffer;
}

/** Cloneable; the ports of its lanes have to be in the transfer list. */
export interface MergedEnd {
  readonly lanes: readonly ChannelEnd[];
  readonly control: SharedArrayBuffer;
}

/** Slot of the control array beside those of batch-channel.ts: tasks that were claimed. */
const CLAIMED = 3;

export function openMergedChannel(senders: number): MergedChannel {
  const control = new SharedArrayBuffer(SHARED_BYTES);
  const pairs = Array.from({ length: senders }, () => {
    const { port1, port2 } = new MessageChannel();
    const shared = new SharedArrayBuffer(SHARED_BYTES);
    return { sender: { port: port1, shared, bell: control }, lane: { port: port2, shared } };
  });
  return {
    senders: pairs.map((pair) => pair.sender),
    receiver: { lanes: pairs.map((pair) => pair.lane), control },
    control,
  };
}

/** @returns the position of a task that nobody else does; null when there are no more */
export function claimTask(control: SharedArrayBuffer, tasks: number): number | null {
  const task = Atomics.add(new Int32Array(control), CLAIMED, 1);
  return task < tasks ? task : null;
}

/** How many of the tasks were claimed: those from the first on. */
export function claimedTasks(control: SharedArrayBuffer, tasks: number): number {
  return Math.min(Atomics.load(new Int32Array(control), CLAIMED), tasks);
}

/** Whether a sender is to end after the task it has. */
export function isPauseAsked(control: SharedArrayBuffer): boolean {
  return Atomics.load(new Int32Array(control), INTERRUPT) !== 0;
}

export class MergedReceiver<T> {
  readonly #open: { readonly end: ChannelEnd; readonly words: Int32Array }[];
  readonly #control: Int32Array;
  readonly #interruptible: boolean;
  /** Who is asked first next time, so that no sender goes short. */
  #turn = 0;

  /** @param interruptible whether a pause ends {@link next} at once, or only the senders look at it */
  constructor(end: MergedEnd, interruptible: boolean) {
    this.#open = end.lanes.map((lane) => ({ end: lane, words: new Int32Array(lane.shared) }));
    this.#control = new Int32Array(end.control);
    this.#interruptible = interruptible;
    for (const { port } of end.lanes) port.unref();
  }

  /**
   * The next item of any sender, blocking the thread for it; null after the last of all.
   * @throws what a sender failed with; SluiceError CANCELLED when one is gone
   */
  next(): T | null | 'interrupted' {
    while (this.#open.length > 0) {
      const interrupt = Atomics.load(this.#control, INTERRUPT);
      if (interrupt === INTERRUPTED && this.#interruptible) return 'interrupted';
      const posted = Atomics.load(this.#control, POSTED);
      const envelope = this.#take();
      if (envelope === null) {
        if (interrupt === ABANDONED) {
          throw new SluiceError({ code: 'CANCELLED', message: 'the reader of these rows has stopped' });
        }
        Atomics.wait(this.#control, POSTED, posted, WAIT_SLICE_MS);
      } else if (envelope.kind === 'item') return envelope.item;
      else if (envelope.kind === 'error') throw fromPlain(envelope.error);
    }
    return null;
  }

  #take(): Envelope<T> | null {
    for (let tried = 0; tried < this.#open.length; tried += 1) {
      const position = (this.#turn + tried) % this.#open.length;
      const lane = this.#open[position];
      const received = lane === undefined ? undefined : receiveMessageOnPort(lane.end.port);
      if (lane === undefined || received === undefined) continue;
      Atomics.add(lane.words, TAKEN, 1);
      Atomics.notify(lane.words, TAKEN);
      const envelope = received.message as Envelope<T>;
      if (envelope.kind === 'item') this.#turn = (position + 1) % this.#open.length;
      else this.#close(position);
      return envelope;
    }
    return null;
  }

  #close(position: number): void {
    for (const { end } of this.#open.splice(position, 1)) end.port.close();
    this.#turn = 0;
  }

  close(): void {
    for (const { end } of this.#open.splice(0)) end.port.close();
  }
}
