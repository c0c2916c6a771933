import { startThread, type ThreadHandle } from '../../thread/call.js';
import type { DestinationWriter } from '../writer.js';
import type { SessionSettings } from './session.js';
import type { DuckDbSurface } from './surface.js';
import type { DuckDbThread } from './worker.js';

/** Starts the thread that owns a DuckDB file. @param onWait told when the file is held by another process */
export async function openDuckDbWriter(
  settings: SessionSettings,
  onWait: (what: string) => void,
): Promise<DestinationWriter> {
  const thread: ThreadHandle<DuckDbThread> = startThread(new URL('./worker.js', import.meta.url), 'sluice-duckdb');
  await thread.call.configure(settings);
  return writerOver(thread, onWait);
}

/** The writer whose calls a thread with the surface of a DuckDB file carries out. */
export function writerOver(thread: ThreadHandle<DuckDbSurface>, onWait: (what: string) => void): DestinationWriter {
  thread.onEvent((event) => {
    if (isWaiting(event)) onWait(event.what);
  });
  const { call } = thread;
  return {
    makePlace: () => call.makePlace(null),
    readTraffic: () => call.readTraffic(null),
    readFacts: (options) => call.readFacts(options ?? null),
    beginLoad: (load) => call.beginLoad(load),
    readLoad: (address) => call.readLoad(address),
    resumeLoad: (load) => call.resumeLoad(load),
    openPart: (part) =>
      call.openPart(
        part,
        part.channel.lanes.map((lane) => lane.port),
      ),
    continueLoad: (address) => call.continueLoad(address),
    rebaseLoad: (load) => call.rebaseLoad(load),
    leaveLoad: (address) => call.leaveLoad(address),
    loadRejected: (load) => call.loadRejected(load, [load.channel.port]),
    finishLoad: (load) => call.finishLoad(load),
    finishBackfill: (backfill) => call.finishBackfill(backfill),
    abandonLoad: (address) => call.abandonLoad(address),
    stagePage: (page) => call.stagePage(page, [page.channel.port]),
    commitPage: (page) => call.commitPage(page),
    pruneHeld: (request) => call.pruneHeld(request),
    beginShadow: (shadow) => call.beginShadow(shadow, [shadow.channel.port]),
    compareShadow: (request) => call.compareShadow(request),
    stageRows: (request) => call.stageRows(request, [request.channel.port]),
    writeRows: (rows) => call.writeRows(rows),
    recordFailure: (failure) => call.recordFailure(failure),
    requestSnapshot: (request) => call.requestSnapshot(request),
    recordPartitions: (request) => call.recordPartitions(request),
    addColumns: (request) => call.addColumns(request),
    widenColumns: (table) => call.widenColumns(table),
    renameColumns: (request) => call.renameColumns(request),
    describeTables: (request) => call.describeTables(request),
    retireTable: (request) => call.retireTable(request),
    dropTable: (request) => call.dropTable(request),
    moveTable: (request) => call.moveTable(request),
    moveStream: (request) => call.moveStream(request),
    forgetStream: (source) => call.forgetStream(source),
    restartStream: (request) => call.restartStream(request),
    release: () => call.release(null),
    publish: (path) => call.publish(path),
    maintenance: null,
    close: async () => {
      await call.release(null);
      await thread.end();
    },
  };
}

function isWaiting(event: unknown): event is { readonly kind: 'waiting'; readonly what: string } {
  return typeof event === 'object' && event !== null && 'kind' in event && event.kind === 'waiting' && 'what' in event;
}
