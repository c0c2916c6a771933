import { parseAddress } from '../../config/address.js';
import { formatTableKey } from '../../config/table-key.js';
import type { StatusReport, TableStatus } from '../../executor/engine.js';
import type { StateDocument } from '../../state/state.js';
import type { Page } from '../command.js';
import { printable } from '../terminal.js';
import { NOTHING_APPLIED, paintPhase } from './status-view.js';
import { type Column, table } from './table.js';

export interface StateEntry {
  readonly address: string;
  readonly kind: 'source' | 'slot' | 'publication' | 'table';
  /** Of a table; null for the others, and where the destination was not asked. */
  readonly phase: TableStatus['phase'] | null;
  /** Name of the slot or publication, method of the table, destination of the source. */
  readonly what: string;
}

/** Every address of the document, in its order. */
export function stateEntries(state: StateDocument, status: StatusReport | null): StateEntry[] {
  const phases = new Map(
    (status?.sources ?? []).flatMap(({ tables }) => tables.map(({ address, phase }) => [address, phase] as const)),
  );
  const sources = Object.entries(state.sources).sort(([left], [right]) => (left < right ? -1 : 1));
  return sources.flatMap(([name, source]): StateEntry[] => [
    { address: name, kind: 'source', phase: null, what: `to ${source.destination}` },
    ...(source.publication === null
      ? []
      : [{ address: `${name}:publication`, kind: 'publication' as const, phase: null, what: source.publication }]),
    ...(source.slot === null
      ? []
      : [{ address: `${name}:slot`, kind: 'slot' as const, phase: null, what: source.slot.name }]),
    ...Object.entries(source.tables)
      .sort(([left], [right]) => (left < right ? -1 : 1))
      .map(([key, { method }]): StateEntry => {
        const address = `${name}:${key}`;
        return { address, kind: 'table', phase: phases.get(address) ?? null, what: method };
      }),
  ]);
}

const COLUMNS: readonly Column[] = [{ title: 'ADDRESS' }, { title: 'KIND' }, { title: 'PHASE' }, { title: 'WHAT' }];

export function stateListText(
  listed: { readonly place: string; readonly state: StateDocument | null; readonly entries: readonly StateEntry[] },
  page: Page,
): string {
  if (listed.state === null) return NOTHING_APPLIED;
  const rows = listed.entries.map(({ address, kind, phase, what }) => [
    printable(address),
    kind,
    phase === null ? '-' : paintPhase(phase, page.paint),
    printable(what),
  ]);
  const head = `${printable(listed.place)}: serial ${listed.state.serial}, lineage ${listed.state.lineage}\n`;
  return head + (rows.length === 0 ? 'It is empty.\n' : `\n${table(COLUMNS, rows, page.paint)}`);
}

/** The part of the document at an address; null where there is none. */
export function partOfState(state: StateDocument, address: string | null): object | null {
  if (address === null) return state;
  const parsed = parseAddress(address);
  const source = parsed === null ? undefined : state.sources[parsed.source];
  if (parsed === null || source === undefined) return null;
  switch (parsed.kind) {
    case 'source':
      return source;
    case 'table':
      return source.tables[formatTableKey(parsed.schema, parsed.name)] ?? null;
    case 'slot':
      return source.slot;
    case 'publication':
      return source.publication === null ? null : { name: source.publication, tables: source.publication_tables };
  }
}

/** Fields one a line, what lies inside of them indented below. */
export function fieldsText(value: object, indent = ''): string {
  return Object.entries(value)
    .map(([key, inner]: [string, unknown]) => {
      const name = `${indent}${printable(key)}:`;
      if (typeof inner !== 'object' || inner === null) return `${name} ${scalarText(inner)}\n`;
      if (Array.isArray(inner) && inner.every((item) => typeof item !== 'object')) {
        return `${name} ${inner.length === 0 ? 'none' : inner.map(scalarText).join(', ')}\n`;
      }
      if (Object.keys(inner).length === 0) return `${name} none\n`;
      return `${name}\n${fieldsText(Array.isArray(inner) ? { ...inner } : inner, `${indent}  `)}`;
    })
    .join('');
}

function scalarText(value: unknown): string {
  return value === null ? '-' : printable(String(value));
}
