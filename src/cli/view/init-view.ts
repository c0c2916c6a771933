import type { Page } from '../command.js';
import type { InitOutcome } from '../commands/init.js';
import { printable } from '../terminal.js';

export function initText(outcome: InitOutcome, page: Page): string {
  const { file, found, unset } = outcome;
  const seen =
    found === null
      ? 'The connection was not tried.\n'
      : `The connection works: the database has ${found.tables} ${found.tables === 1 ? 'table' : 'tables'}.\n`;
  const notes = (found?.notes ?? []).map((note) => `  ${page.paint('yellow', 'note')}  ${printable(note)}\n`).join('');
  const rows = nextCommands(outcome);
  const width = Math.max(...rows.map(([command]) => command.length));
  const next = rows.map(([command, text]) => `  ${page.paint('bold', command.padEnd(width))}  # ${text}\n`).join('');
  const head = `${page.paint('green', 'Wrote')} ${printable(file)}. ${seen}${notes}`;
  return `${head}\nNext:\n${next}${unset === null ? '' : `Sluice reads the password from $${unset} whenever it connects.\n`}`;
}

export function initJson(outcome: InitOutcome): Record<string, unknown> {
  return {
    file: outcome.file,
    schema_file: outcome.schemaFile,
    source: outcome.source,
    tested: outcome.found !== null,
    tables: outcome.found?.tables ?? null,
    notes: outcome.found?.notes ?? [],
    next: nextCommands(outcome).map(([command]) => command),
  };
}

function nextCommands({ file, unset }: InitOutcome): readonly (readonly [string, string])[] {
  const named =
    file === 'sources.yaml' ? '' : ` -c ${/^[\w./-]+$/.test(file) ? file : `'${file.replaceAll("'", "'\\''")}'`}`;
  return [
    ...(unset === null ? [] : [[`export ${unset}=...`, 'the password'] as const]),
    [`sluice discover --write${named}`, 'add the tables of the database to the file'],
    [`sluice doctor${named}`, 'see whether the server is ready'],
    [`sluice plan${named}`, 'see what apply would do'],
    [`sluice apply --sync${named}`, 'do it and load the tables'],
  ];
}
