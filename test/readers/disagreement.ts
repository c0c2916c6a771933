import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { type Cell, canonicalRow, digestOf } from './canonical.js';
import type { ReaderEnvironment } from './environment.js';
import { type LakeTable, type ReaderName, type ReadJob, readWith } from './readers.js';

/** Asks readers for the rows of tables and tells where they have others than expected. */

export interface ExpectedTable extends LakeTable {
  readonly rows: readonly (readonly Cell[])[];
}

const ROWS_SHOWN = 4;

/** What an engine can only read otherwise (the table at readers.ts). */
function asRead(reader: ReaderName, type: string, cell: Cell): Cell {
  return reader === 'chdb' && cell === null && type.startsWith('array<') ? [] : cell;
}

/** @returns what is wrong, a line each; empty where every reader has the very rows of every table */
export async function disagreements(
  environment: ReaderEnvironment,
  readers: readonly ReaderName[],
  tables: readonly ExpectedTable[],
  job: Pick<ReadJob, 's3'> & { readonly dump: string },
): Promise<string[]> {
  const told = tables.map(({ name, location, columns, where }) => ({
    ...{ name, location, columns },
    ...(where === undefined ? {} : { where }),
  }));
  const reports = await Promise.all(
    readers.map(async (reader) => ({ reader, report: await readWith(environment, reader, { ...job, tables: told }) })),
  );
  const problems: string[] = [];
  for (const { reader, report } of reports) {
    for (const table of tables) {
      const answer = report.answers.find((one) => one.table === table.name);
      const rows = table.rows.map((row) =>
        canonicalRow(row.map((cell, i) => asRead(reader, table.columns[i]?.type ?? '', cell))),
      );
      const expected = digestOf(rows);
      const place = `${reader}, ${table.name} in ${table.location}${table.where === undefined ? '' : ` where ${table.where}`}`;
      if (answer === undefined) problems.push(`${place}: no answer`);
      else if ('error' in answer) problems.push(`${place}: ${answer.error}`);
      else if (answer.sha256 !== expected.sha256) {
        const read = await readFile(path.join(job.dump, `${table.name}.${reader}.ndjson`), 'utf8');
        problems.push(`${place}: ${answer.rows} rows, expected ${expected.rows}\n${difference(rows, read)}`);
      }
    }
  }
  return problems;
}

/** Rows that only one side has. */
function difference(expected: readonly string[], read: string): string {
  const left = [...expected];
  const extra: string[] = [];
  for (const row of read.split('\n').filter((line) => line !== '')) {
    const at = left.indexOf(row);
    if (at < 0) extra.push(row);
    else left.splice(at, 1);
  }
  const shown = (what: string, rows: readonly string[]): string[] =>
    rows.slice(0, ROWS_SHOWN).map((row) => `  ${what} ${row}`);
  return [...shown('missing', left), ...shown('unexpected', extra)].join('\n');
}
