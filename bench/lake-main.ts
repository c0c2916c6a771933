import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { startPostgres } from '../test/postgres/server.js';
import { startVersitygw } from '../test/s3/versitygw.js';
import { measureLoads, measureMerges } from './measure-lake.js';

const USAGE = `npm run bench:lake [load|merge|all] [-- --small --runs N]

  load    first load of 3,000,000 rows x 13 columns into DuckDB and into Delta, and the raw upload of its bytes
  merge   1,000, 10,000 and 100,000 random keys merged into 10,000,000 rows x 4 columns, by deletion vectors and by rewriting
  all     both (the default)

  --small   a tenth of the rows, to see that it works
`;

const POSTGRES_SETTINGS = {
  shared_buffers: '512MB',
  max_wal_size: '16GB',
  checkpoint_timeout: '1h',
  autovacuum: 'off',
};
const HBA = 'local all all trust\nhost all all 127.0.0.1/32 trust\nhost replication all 127.0.0.1/32 trust\n';

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { small: { type: 'boolean', default: false }, runs: { type: 'string', default: '2' } },
  });
  const which = positionals[0] ?? 'all';
  const runs = Number(values.runs);
  if (!['load', 'merge', 'all'].includes(which) || !Number.isInteger(runs) || runs < 1) {
    process.stderr.write(USAGE);
    process.exitCode = 64;
    return;
  }
  const stop = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM'] as const)
    process.on(name, () => stop.abort(new Error(`stopped by ${name}`)));
  const root = await mkdtemp(path.join(tmpdir(), 'sluice-bench-'));
  const postgres = await startPostgres({ major: 17, settings: POSTGRES_SETTINGS, hba: HBA });
  stop.signal.addEventListener('abort', () => void postgres.stop('immediate').catch(() => {}), { once: true });
  const server = await startVersitygw({ bucket: 'lake', accessKeyId: 'bench', secretAccessKey: 'bench-secret' });
  const note = (text: string): void => void process.stderr.write(`${text}\n`);
  const world = { root, postgres, access: server, runs, share: values.small ? 0.1 : 1, note, signal: stop.signal };
  try {
    if (which !== 'merge') process.stdout.write(await measureLoads(world));
    if (which !== 'load') process.stdout.write(await measureMerges(world));
  } finally {
    await server.stop();
    await postgres.stop();
    await rm(root, { recursive: true, force: true });
  }
}

main().catch((error: unknown) => {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
});
