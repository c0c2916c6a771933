import type { StoreTraffic } from '../destination/lake/object-store.js';
import { addTraffic, NO_TRAFFIC, trafficSince } from '../destination/lake/traffic.js';
import type { DestinationWriter } from '../destination/writer.js';
import { interruptReceiver } from '../thread/batch-channel.js';

/** What is done around each call to a writer, whose thread does one after the other in the order in which they were made. */

/** What one piece of work has asked of an object store. */
export class TrafficSum {
  #total: StoreTraffic | null = null;

  /** Null: no call to a store was made through it. */
  get total(): StoreTraffic | null {
    return this.#total;
  }

  add(traffic: StoreTraffic): void {
    this.#total = addTraffic(this.#total ?? NO_TRAFFIC, traffic);
  }
}

/** Every other call interrupts running loads, which go on after it. */
export function yieldingLoads(
  inner: DestinationWriter,
  running: ReadonlyMap<string, SharedArrayBuffer>,
): DestinationWriter {
  const writer = eachCall(inner, (call) => (...given) => {
    const result = call(...given);
    for (const shared of running.values()) interruptReceiver(shared);
    return result;
  });
  return { ...writer, readTraffic: inner.readTraffic, continueLoad: inner.continueLoad };
}

/** Adds up what the calls made through it ask of an object store, whoever else works with the same writer meanwhile. */
export function metered(inner: DestinationWriter, sum: TrafficSum): DestinationWriter {
  const writer = eachCall(inner, (call) => async (...given) => {
    // Nothing comes between the three, as nobody else has had a turn to post a call.
    const before = inner.readTraffic();
    const result = call(...given);
    const after = inner.readTraffic();
    const counted = Promise.all([before, after]).then(
      ([from, to]) => {
        if (from !== null && to !== null) sum.add(trafficSince(from, to));
      },
      () => undefined, // the thread has ended, and the call says so
    );
    try {
      return await result;
    } finally {
      await counted;
    }
  });
  return { ...writer, readTraffic: inner.readTraffic };
}

type Call<Arguments extends readonly unknown[], Result> = (...given: Arguments) => Promise<Result>;
type Wrap = <Arguments extends readonly unknown[], Result>(call: Call<Arguments, Result>) => Call<Arguments, Result>;

function eachCall(inner: DestinationWriter, wrap: Wrap): DestinationWriter {
  return {
    makePlace: wrap(inner.makePlace),
    readTraffic: wrap(inner.readTraffic),
    readFacts: wrap(inner.readFacts),
    beginLoad: wrap(inner.beginLoad),
    readLoad: wrap(inner.readLoad),
    resumeLoad: wrap(inner.resumeLoad),
    openPart: wrap(inner.openPart),
    rebaseLoad: wrap(inner.rebaseLoad),
    leaveLoad: wrap(inner.leaveLoad),
    continueLoad: wrap(inner.continueLoad),
    loadRejected: wrap(inner.loadRejected),
    finishLoad: wrap(inner.finishLoad),
    finishBackfill: wrap(inner.finishBackfill),
    abandonLoad: wrap(inner.abandonLoad),
    stagePage: wrap(inner.stagePage),
    commitPage: wrap(inner.commitPage),
    pruneHeld: wrap(inner.pruneHeld),
    beginShadow: wrap(inner.beginShadow),
    compareShadow: wrap(inner.compareShadow),
    stageRows: wrap(inner.stageRows),
    writeRows: wrap(inner.writeRows),
    recordFailure: wrap(inner.recordFailure),
    requestSnapshot: wrap(inner.requestSnapshot),
    recordPartitions: wrap(inner.recordPartitions),
    addColumns: wrap(inner.addColumns),
    widenColumns: wrap(inner.widenColumns),
    renameColumns: wrap(inner.renameColumns),
    describeTables: wrap(inner.describeTables),
    retireTable: wrap(inner.retireTable),
    dropTable: wrap(inner.dropTable),
    moveTable: wrap(inner.moveTable),
    moveStream: wrap(inner.moveStream),
    forgetStream: wrap(inner.forgetStream),
    restartStream: wrap(inner.restartStream),
    release: wrap(inner.release),
    publish: wrap(inner.publish),
    maintenance:
      inner.maintenance === null
        ? null
        : {
            tables: wrap(inner.maintenance.tables),
            compact: wrap(inner.maintenance.compact),
            vacuum: wrap(inner.maintenance.vacuum),
            vacuumSource: wrap(inner.maintenance.vacuumSource),
            readRecord: wrap(inner.maintenance.readRecord),
            writeRecord: wrap(inner.maintenance.writeRecord),
          },
    close: wrap(inner.close),
  };
}
