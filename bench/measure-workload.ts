import { spawnSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { startPostgres, type TestPostgres } from '../test/postgres/server.js';
import { type Company, describeMachine, type Machine, withCompany } from './machine.js';
import type { Cost, MeasuredRun } from './measured-process.js';
import { answersOf, BenchProject, unitsOf } from './project.js';
import { seed, type Workload } from './workload.js';

const POSTGRES_SETTINGS = {
  shared_buffers: '512MB',
  max_wal_size: '16GB',
  checkpoint_timeout: '1h',
  // A vacuum that starts between two runs would be in one of them only.
  autovacuum: 'off',
};

/** floor.mjs speaks no passwords. */
const HBA = 'local all all trust\nhost all all 127.0.0.1/32 trust\nhost replication all 127.0.0.1/32 trust\n';

export interface Sample {
  readonly cost: Cost;
  readonly company: Company | null;
}

/** One floor and the sync right after it, so that both met about the same noise. */
export interface Pair {
  readonly floor: Sample;
  readonly sync: Sample;
  readonly fileBytes: number;
}

export interface Measured {
  readonly workload: Workload;
  readonly machine: Machine;
  readonly pairs: readonly Pair[];
}

export interface MeasureOptions {
  readonly runs: number;
  /** For the Node process of the timed syncs, such as `--cpu-prof`. */
  readonly nodeFlags: readonly string[];
  readonly note: (text: string) => void;
}

/**
 * Measures a workload on a server of its own: floor, sync, floor, sync, ... Every sync's result is compared with Postgres.
 * @throws Error when a sync brought anything but what Postgres holds
 */
export async function measureWorkload(
  workload: Workload,
  options: MeasureOptions,
  signal: AbortSignal,
): Promise<Measured> {
  const { note } = options;
  const root = await mkdtemp(path.join(tmpdir(), 'sluice-bench-'));
  let postgres: TestPostgres | null = null;
  try {
    const server = await startPostgres({ major: 17, settings: POSTGRES_SETTINGS, hba: HBA });
    postgres = server;
    // Ends whatever statement is waited for.
    signal.addEventListener('abort', () => void server.stop('immediate').catch(() => {}), { once: true });
    note(`${workload.name}: filling the source`);
    await seed(workload, postgres);
    const project = await BenchProject.create(workload, postgres, root, signal);
    if (workload.backlog !== null) {
      note(`${workload.name}: first load`);
      await project.sync();
    }
    await project.save();
    if (workload.backlog !== null) {
      note(`${workload.name}: making the backlog`);
      await postgres.query(workload.backlog);
    }
    await postgres.query('checkpoint');
    const expected = await answersOf(workload.checks, postgres);
    note(`${workload.name}: warming up`);
    await project.floor();
    const pairs: Pair[] = [];
    for (let run = 1; run <= options.runs; run++) {
      note(`${workload.name}: run ${run} of ${options.runs}`);
      await project.restore();
      pairs.push(await measurePair(workload, project, postgres, options.nodeFlags));
      await compare(workload, project, expected);
    }
    return { workload, machine: await describeMachine(postgres), pairs };
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  } finally {
    await postgres?.stop();
    await rm(root, { recursive: true, force: true });
  }
}

async function measurePair(
  workload: Workload,
  project: BenchProject,
  postgres: TestPostgres,
  nodeFlags: readonly string[],
): Promise<Pair> {
  const floor = await measured(postgres, () => project.floor());
  const sync = await measured(postgres, () => project.sync(nodeFlags));
  const units = unitsOf(sync.run.stdout, workload.unit);
  if (units !== workload.units) {
    throw new Error(`${workload.name}: the sync brought ${units} ${workload.unit}, not ${workload.units}`);
  }
  return { floor: floor.sample, sync: sync.sample, fileBytes: sync.run.fileBytes };
}

async function measured<Run extends MeasuredRun>(
  postgres: TestPostgres,
  work: () => Promise<Run>,
): Promise<{ sample: Sample; run: Run }> {
  // What the run before left to be written is not this run's work.
  spawnSync('sync');
  const { result, company } = await withCompany(postgres, work);
  return { sample: { cost: result.cost, company }, run: result };
}

async function compare(workload: Workload, project: BenchProject, expected: readonly string[]): Promise<void> {
  const answers = await project.answers(workload.checks);
  for (const [index, check] of workload.checks.entries()) {
    if (answers[index] !== expected[index]) {
      throw new Error(`${workload.name}: ${check.name}: Postgres has ${expected[index]}, DuckDB ${answers[index]}`);
    }
  }
}
