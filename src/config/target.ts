import type { SourceConfig, TableEntry } from './config.js';
import { type Glob, globsOverlap } from './glob.js';
import { parseTableKey } from './table-key.js';

type Naming = Pick<SourceConfig, 'name' | 'targetSchema'>;

/** Appended to the name of a table for its history (DESIGN 6). */
const HISTORY_SUFFIX = '_cdc';

/** Where a source table lands in the destination. The history table, where there is one, is `<name>_cdc` beside it. */
export function targetOf(source: Naming, schema: string, table: string): { schema: string; name: string } {
  return { schema: targetSchemaOf(source, schema), name: table };
}

/** The first pair of entries of two sources that may fill the same destination table; null where none can. */
export function findCollision(
  left: SourceConfig,
  right: SourceConfig,
): { readonly left: TableEntry; readonly right: TableEntry } | null {
  for (const a of left.tables) {
    const aTargets = targetsOf(left, a);
    for (const b of right.tables) {
      if (a === b) continue;
      const overlap = targetsOf(right, b).some((target) =>
        aTargets.some((other) => globsOverlap(target.schema, other.schema) && globsOverlap(target.name, other.name)),
      );
      if (overlap) return { left: a, right: b };
    }
  }
  return null;
}

function targetSchemaOf(source: Naming, schema: string): string {
  return source.targetSchema.replaceAll(/\{(schema|source)\}/g, (_, key) => (key === 'schema' ? schema : source.name));
}

interface TargetGlob {
  readonly schema: Glob;
  readonly name: Glob;
}

/** Every destination table that an entry may fill: one for each of its outputs. */
function targetsOf(source: SourceConfig, entry: TableEntry): TargetGlob[] {
  const parsed = parseTableKey(entry.key);
  if (!parsed.ok) return [];
  const limited: Glob = entry.pattern !== null && source.schema !== null ? [source.schema] : parsed.key.schema;
  const schema = foldCase(fillTemplate(limited, (name) => targetSchemaOf(source, name)));
  const name = foldCase(parsed.key.name);
  const { output } = entry.table;
  const targets: TargetGlob[] = [];
  if (output !== 'history') targets.push({ schema, name });
  if (output !== 'consolidated') targets.push({ schema, name: withSuffix(name, HISTORY_SUFFIX) });
  return targets;
}

/** DuckDB takes names that differ only in case as one. */
function foldCase(glob: Glob): Glob {
  const [first, ...others] = glob;
  return [first.toLowerCase(), ...others.map((piece) => piece.toLowerCase())];
}

/** Puts a pattern into the template by way of a character that no name holds, so that its stars survive. */
function fillTemplate(glob: Glob, fill: (schema: string) => string): Glob {
  const [first = '', ...others] = fill(glob.join('\u0000')).split('\u0000');
  return [first, ...others];
}

function withSuffix(glob: Glob, suffix: string): Glob {
  const [first, ...others] = glob;
  const last = others.pop();
  return last === undefined ? [first + suffix] : [first, ...others, last + suffix];
}
