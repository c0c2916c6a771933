import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { type Cell, canonicalRow, digestOf } from './canonical.js';
import { Engines } from './engines.js';
import type { ReaderEnvironment } from './environment.js';
import { type LakeTable, type ReaderName, type ReadJob, readWith } from './readers.js';

/** Asks readers for the rows of tables and tells where they have others than expected. */

export interface ExpectedTable extends LakeTable {
  readonly rows: readonly (readonly Cell[])[];
}

const ROWS_SHOWN = 4;
/** A longer value is told by its beginning, its length and a hash: some are of many kilobytes. */
const CHARACTERS_SHOWN = 100;

/** What an engine can only read otherwise (the table at readers.ts). */
function asRead(reader: ReaderName, type: string, cell: Cell): Cell {
  return reader === 'chdb' && cell === null && type.startsWith('array<') ? [] : cell;
}

/**
 * @param engines those that run already (which know their bucket), or where they are installed, to run for this once
 * @returns what is wrong, a line each; empty where every reader has the very rows of every table
 */
export async function disagreements(
  engines: Engines | ReaderEnvironment,
  readers: readonly ReaderName[],
  tables: readonly ExpectedTable[],
  job: Pick<ReadJob, 's3'> & { readonly dump: string },
): Promise<string[]> {
  const told = tables.map(({ name, location, columns, where }) => ({
    ...{ name, location, columns },
    ...(where === undefined ? {} : { where }),
  }));
  const reports = await Promise.all(
    readers.map(async (reader) => {
      const asked = { ...job, tables: told };
      const report = await (engines instanceof Engines
        ? engines.read(reader, asked)
        : readWith(engines, reader, asked));
      return { reader, report };
    }),
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
    rows.slice(0, ROWS_SHOWN).map((row) => `  ${what} ${shortened(row)}`);
  return [...shown('missing', left), ...shown('unexpected', extra)].join('\n');
}

/** @param row as canonicalRow gives it */
function shortened(row: string): string {
  const cells: unknown = JSON.parse(row);
  return JSON.stringify(cells, (_, cell: unknown) => {
    if (typeof cell !== 'string' || cell.length <= CHARACTERS_SHOWN) return cell;
    const hash = createHash('md5').update(cell).digest('hex');
    return `${cell.slice(0, CHARACTERS_SHOWN)}... (${cell.length} characters, md5 ${hash})`;
  });
}
