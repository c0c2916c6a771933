import { quoteLiteral } from './sql-identifier.js';

/**
 * What every session of Sluice is set to, whatever the server, database or role prescribe: text output must be the same
 * for COPY and for the stream (law 3), names must not depend on a search path, and no timeout may end a long COPY.
 * default_transaction_read_only is left as it is: who sets it means it.
 * @see DESIGN.md, section 7
 */
const SETTINGS: Readonly<Record<string, string>> = {
  DateStyle: 'ISO, YMD',
  IntervalStyle: 'postgres',
  TimeZone: 'UTC',
  extra_float_digits: '3',
  bytea_output: 'hex',
  lc_monetary: 'C',
  standard_conforming_strings: 'on',
  quote_all_identifiers: 'off',
  search_path: '',
  lock_timeout: '0',
  idle_in_transaction_session_timeout: '0',
};

/** Settings that came with later majors (14, 17) and would be an error before. */
const LATER_SETTINGS: Readonly<Record<string, string>> = { idle_session_timeout: '0', transaction_timeout: '0' };

/**
 * One statement that sets all of it and returns server_version_num as `version`. It is sent after the login and not as startup options, which poolers refuse.
 * @param statementTimeoutMs 0: none
 */
export function sessionSql(statementTimeoutMs: number): string {
  const always = Object.entries({ ...SETTINGS, statement_timeout: String(statementTimeoutMs) });
  const calls = always.map(([name, value]) => setConfig(quoteLiteral(name), quoteLiteral(value)));
  const later = Object.entries(LATER_SETTINGS).map(
    ([name, value]) => `(${quoteLiteral(name)}, ${quoteLiteral(value)})`,
  );
  return `select ${calls.join(', ')}, (
    select count(${setConfig('later.name', 'later.value')})
    from (values ${later.join(', ')}) as later (name, value) join pg_catalog.pg_settings as s on s.name = later.name),
    pg_catalog.current_setting('server_version_num')::pg_catalog.int4 as version`;
}

function setConfig(name: string, value: string): string {
  return `pg_catalog.set_config(${name}, ${value}, false)`;
}

const APPLICATION_NAME = 'sluice';
/** NAMEDATALEN - 1; Postgres would cut it, perhaps in the middle of a character. */
const APPLICATION_NAME_MAX = 63;

/** What pg_stat_activity shows: `sluice snapshot shop:public.users`. Printable ASCII, as Postgres turns the rest into "?". */
export function applicationName(purpose: string): string {
  const printable = `${APPLICATION_NAME} ${purpose}`.replaceAll(/[^\x20-\x7e]/g, '?');
  return printable.slice(0, APPLICATION_NAME_MAX).trimEnd();
}
