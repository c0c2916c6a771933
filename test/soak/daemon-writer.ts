import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import type { Client } from 'pg';
import type { TestPostgres } from '../postgres/server.js';
import { keyOf, SOAK_TABLES } from './daemon-tables.js';

const STEPS = fc.record({
  table: fc.nat(SOAK_TABLES.length - 1),
  op: fc.nat(4),
  rows: fc.integer({ min: 1, max: 20 }),
  from: fc.nat(1_200),
  /** After so many statements the transaction ends. */
  length: fc.integer({ min: 1, max: 8 }),
  rollback: fc.integer({ min: 0, max: 9 }).map((n) => n === 0),
});

/** Somebody who works with all tables without rest. */
export class SoakWriter {
  readonly #stop = new AbortController();
  readonly #done: Promise<void>;
  /** Transactions. */
  written = 0;

  private constructor(client: Client, seed: number) {
    this.#done = this.#work(client, seed);
  }

  static async start(postgres: TestPostgres, database: string, seed: number): Promise<SoakWriter> {
    return new SoakWriter(await postgres.client(database), seed);
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#done;
  }

  async #work(client: Client, seed: number): Promise<void> {
    try {
      for (let round = 0; !this.#stop.signal.aborted; round += 1) {
        for (const step of fc.sample(STEPS, { seed: seed + round, numRuns: 1_000 })) {
          if (this.#stop.signal.aborted) return;
          await client.query('begin');
          for (let index = 0; index < step.length; index += 1) await client.query(statement(step, index));
          await client.query(step.rollback ? 'rollback' : 'commit');
          this.written += 1;
          await sleep(20);
        }
      }
    } finally {
      await client.end();
    }
  }
}

type Step = typeof STEPS extends fc.Arbitrary<infer T> ? T : never;

function statement(step: Step, index: number): string {
  const table = SOAK_TABLES[(step.table + index * 37) % SOAK_TABLES.length];
  if (table === undefined) throw new Error('there is no such table');
  const op = table.ops[(step.op + index) % table.ops.length] ?? 'insert';
  const chosen = `(select id from ${keyOf(table)} where id >= ${step.from} order by id limit ${step.rows})`;
  switch (op) {
    case 'insert':
      return `insert into ${keyOf(table)} (v) select 'new ' || i from generate_series(1, ${step.rows}) i`;
    case 'update':
      return `update ${keyOf(table)} set n = n + 1, at = clock_timestamp() where id in ${chosen}`;
    case 'delete':
      return `delete from ${keyOf(table)} where id in ${chosen}`;
  }
}
