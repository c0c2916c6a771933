import type { StoreTraffic } from './object-store.js';

/** Sums and differences of what was asked of a store. */

export const NO_TRAFFIC: StoreTraffic = { puts: 0, gets: 0, lists: 0, deletes: 0, bytesSent: 0, bytesReceived: 0 };

export function trafficSince(before: StoreTraffic, now: StoreTraffic): StoreTraffic {
  return combine(now, before, (a, b) => a - b);
}

export function addTraffic(one: StoreTraffic, other: StoreTraffic): StoreTraffic {
  return combine(one, other, (a, b) => a + b);
}

function combine(one: StoreTraffic, other: StoreTraffic, by: (a: number, b: number) => number): StoreTraffic {
  return {
    puts: by(one.puts, other.puts),
    gets: by(one.gets, other.gets),
    lists: by(one.lists, other.lists),
    deletes: by(one.deletes, other.deletes),
    bytesSent: by(one.bytesSent, other.bytesSent),
    bytesReceived: by(one.bytesReceived, other.bytesReceived),
  };
}
