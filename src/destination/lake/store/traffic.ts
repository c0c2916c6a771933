import type { StoreTraffic } from '../object-store.js';

/** Price classes of requests, as object stores bill them. */
export type RequestClass = 'puts' | 'gets' | 'lists' | 'deletes';

/** Counts what a store is asked for; both stores count here, every attempt of a request once. */
export class TrafficMeter {
  private readonly counts = { puts: 0, gets: 0, lists: 0, deletes: 0, bytesSent: 0, bytesReceived: 0 };

  asked(kind: RequestClass, bytesSent = 0): void {
    this.counts[kind] += 1;
    this.counts.bytesSent += bytesSent;
  }

  received(bytes: number): void {
    this.counts.bytesReceived += bytes;
  }

  /** As it stands now; later requests do not change it. */
  read(): StoreTraffic {
    return { ...this.counts };
  }
}
