/**
 * What kind of statement an SQL text begins with, by its first word: DuckDB itself tells only of statements that it can
 * prepare, and so nothing of a DROP or an INSERT of what is no table.
 */

const SPACE_OR_COMMENT = /^(?:\s|--[^\n]*(?:\n|$)|\/\*[\s\S]*?\*\/|\()+/;

/** In lower case, behind spaces, comments and brackets; '' where there is no word. */
export function firstWord(sql: string): string {
  const text = sql.replace(SPACE_OR_COMMENT, '');
  return (/^[a-z]+/i.exec(text)?.[0] ?? '').toLowerCase();
}

const WRITES: ReadonlySet<string> = new Set([
  'insert',
  'update',
  'delete',
  'merge',
  'truncate',
  'create',
  'drop',
  'alter',
  'comment',
]);

/** Whether the statement is to change tables or what is said of them. Temporary ones are the session's own. */
export function writesTables(sql: string): boolean {
  const word = firstWord(sql);
  const temporary = /^create\s+(?:or\s+replace\s+)?temp(?:orary)?\s/i.test(sql.replace(SPACE_OR_COMMENT, ''));
  return WRITES.has(word) && !temporary;
}

/** Whether the statement asks for names and types alone, so that no row is read for it. */
export function asksForNames(sql: string): boolean {
  return ['show', 'describe', 'desc'].includes(firstWord(sql));
}
