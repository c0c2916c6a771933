import { stat } from 'node:fs/promises';
import { SluiceError } from '../../error/sluice-error.js';
import { emitEvent, serve } from '../../thread/call.js';
import { publishCopy } from './publish-copy.js';
import { DuckDbSession, type SessionSettings } from './session.js';
import { duckDbSurface } from './surface.js';

/** The thread that owns one DuckDB file: all work on it is done here. */

let settings: SessionSettings | null = null;
let session: DuckDbSession | null = null;

async function open(limits: { readonly busyWaitMs: number } | null): Promise<DuckDbSession> {
  if (settings === null) throw new SluiceError({ code: 'INTERNAL', message: 'the DuckDB thread was not configured' });
  session ??= await DuckDbSession.open({ ...settings, ...limits }, (what) => emitEvent({ kind: 'waiting', what }));
  return session;
}

function release(): void {
  session?.close();
  session = null;
}

const surface = {
  ...duckDbSurface({
    openedToLook: async (limits) => {
      const isThere = session !== null || (settings !== null && (await stat(settings.path).catch(() => null)) !== null);
      return isThere ? open(limits) : null;
    },
    opened: async () => {
      const db = await open(null);
      await db.prepareLayout();
      return db;
    },
    release: async () => release(),
    publish: async (path) => {
      if (settings === null) return;
      release();
      await publishCopy(settings.path, path);
    },
  }),

  async configure(next: SessionSettings): Promise<void> {
    settings = next;
  },
};

export type DuckDbThread = typeof surface;

serve(surface);
