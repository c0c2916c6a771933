import type { TlsMode } from './config.js';
import { isLocal } from './read-connection.js';

/** What a first config file is made of. */
export interface Starter {
  /** Name of the source; part of every address. */
  readonly source: string;
  readonly host: string;
  readonly port: number;
  readonly database: string;
  readonly user: string;
  /** The variable that holds the password; null: the server asks for none. */
  readonly passwordEnv: string | null;
  /** Null: what fits the host ({@link usualTls}). */
  readonly tls: TlsMode | null;
  /** Path of the DuckDB file. */
  readonly destination: string;
  /** Path of the JSON Schema for editors, from the file's folder. */
  readonly schema: string;
}

/** A name made of a database's: letters, digits, _ and -, beginning with a letter, at most 32 long. */
export function sourceNameFor(database: string): string {
  const name = database
    .replace(/[^A-Za-z0-9_-]+/g, '_')
    .replace(/^[^A-Za-z]+/, '')
    .slice(0, 32);
  return name === '' ? 'main' : name;
}

/** `shop` -> `SHOP_PASSWORD`. */
export function passwordVariableFor(source: string): string {
  return `${source.replaceAll('-', '_').toUpperCase()}_PASSWORD`;
}

/** Servers on this machine rarely have a certificate; for all others it is verified. Null: a unix socket has no TLS. */
export function usualTls(host: string): TlsMode | null {
  if (host.startsWith('/')) return null;
  return isLocal(host) ? 'disable' : 'verify-full';
}

/** The text of a first config file, with comments that say what to do next. Holds no password. */
export function starterText(starter: Starter): string {
  const { source, host } = starter;
  const connection = connectionName(source);
  const tls = starter.tls ?? usualTls(host);
  const plain = tls === 'disable' && !isLocal(host) ? ', allow_plaintext: true' : '';
  return `# yaml-language-server: $schema=${starter.schema}
#
# Check this file with: sluice validate. What a change of it would do: sluice plan. Then: sluice apply.
version: 1

connections:
  ${connection}:
    host: ${scalar(host)}
    port: ${starter.port}
    database: ${scalar(starter.database)}
    user: ${scalar(starter.user)}
${
  starter.passwordEnv === null
    ? '    # password: { env: NAME } # or { file: PATH }, { credential: NAME }; the server asks for none'
    : `    password: { env: ${scalar(starter.passwordEnv)} } # the variable that holds it; or { file: PATH }, { credential: NAME }`
}
${tls === null ? '' : `    tls: { mode: ${tls}${plain} } # verify-full | verify-ca | require | disable\n`}
destinations:
  warehouse:
    type: duckdb # or a lake: local, s3
    path: ${scalar(starter.destination)}

sources:
  ${source}:
    connection: ${connection}
    destination: warehouse
    # Tables that say no method have this one: cdc | incremental | append | full_table.
    defaults:
      method: cdc
      schedule: { every: 5m }
    # One entry a table, or a pattern such as "public.*". To add those of the database: sluice discover --write
    tables: {}
`;
}

export function connectionName(source: string): string {
  return `${source}_db`;
}

/** Plain where YAML reads it as this text and nothing else; all others in double quotes, as JSON has them. */
function scalar(text: string): string {
  const plain = /^[A-Za-z/][\w./-]*$/.test(text) && !/^(?:true|false|null|yes|no|on|off|y|n)$/i.test(text);
  const escaped = text.replaceAll('$', '$$$$');
  return plain || isAddress(text) ? text : JSON.stringify(escaped);
}

function isAddress(text: string): boolean {
  return /^\d{1,3}(?:\.\d{1,3}){3}$/.test(text);
}
