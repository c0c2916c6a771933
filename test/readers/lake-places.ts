import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { S3UnderTest } from '../s3/conformance-world.js';
import { startVersitygw } from '../s3/versitygw.js';
import type { S3Access } from './readers.js';

/** The places and ways in which the gate has Sluice write lakes. */

export const LAKES = [
  { place: 'folder', deletes: 'dv' },
  { place: 'bucket', deletes: 'cow' },
  { place: 'folder', deletes: 'cow' },
  { place: 'bucket', deletes: 'dv' },
] as const;
export type Lake = (typeof LAKES)[number];

/** ClickHouse signs requests to a server that is not Amazon's for this region and no other. */
const REGION = 'us-east-1';

export interface LakePlaces {
  /** Settings of a destination, and what readers are told of its bucket. @param name a folder's or prefix's */
  lake(lake: Lake, name: string): { destination: Record<string, unknown>; s3?: S3Access };
  /** How engines reach what is in the bucket. */
  readonly s3: S3Access;
  /** For the rows that readers tell. */
  readonly dump: string;
  close(): Promise<void>;
}

/** A temporary folder and a real S3 server with one bucket. */
export async function openPlaces(): Promise<LakePlaces> {
  const folder = await mkdtemp(path.join(tmpdir(), 'sluice-lakes-'));
  let server: S3UnderTest;
  try {
    server = await startVersitygw({ bucket: 'lake', accessKeyId: 'reader', secretAccessKey: 'reader-secret' });
    await writeFile(path.join(folder, 'id'), server.accessKeyId);
    await writeFile(path.join(folder, 'secret'), server.secretAccessKey);
  } catch (error) {
    await rm(folder, { recursive: true, force: true });
    throw error;
  }
  const { endpoint, accessKeyId, secretAccessKey } = server;
  const s3 = { endpoint, region: REGION, accessKeyId, secretAccessKey };
  return {
    dump: folder,
    s3,
    lake({ place, deletes }, name) {
      const common = { format: 'delta', deletes };
      if (place === 'folder') return { destination: { type: 'local', path: 'lake', ...common } };
      const reached = { bucket: server.bucket, prefix: name, endpoint, region: REGION, force_path_style: true };
      const keys = {
        access_key_id: { file: path.join(folder, 'id') },
        secret_access_key: { file: path.join(folder, 'secret') },
      };
      return { destination: { type: 's3', ...reached, ...keys, ...common }, s3 };
    },
    async close() {
      await server.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
