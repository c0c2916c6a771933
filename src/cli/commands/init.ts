import { basename, dirname, join } from 'node:path';
import type { TlsMode } from '../../config/config.js';
import { parseConnectionUrl } from '../../config/connection-url.js';
import {
  connectionName,
  passwordVariableFor,
  type Starter,
  sourceNameFor,
  starterText,
  usualTls,
} from '../../config/starter.js';
import { fromPlain, SluiceError } from '../../error/sluice-error.js';
import { type Context, command, type Input } from '../command.js';
import { ConfigRefused } from '../config-refused.js';
import type { Interview } from '../interview.js';
import { initJson, initText } from '../view/init-view.js';

const TLS_MODES: readonly TlsMode[] = ['verify-full', 'verify-ca', 'require', 'disable'];
const SCHEMA_FILE = 'sources.schema.json';

/** What the command line said of the connection; null where it said nothing. */
export interface InitArgs {
  readonly host: string | null;
  readonly port: number | null;
  readonly database: string | null;
  readonly user: string | null;
  readonly passwordEnv: string | null;
  /** Of the url. For the test alone: it is written nowhere. */
  readonly password: string | null;
  readonly tls: TlsMode | null;
  readonly source: string | null;
  readonly destination: string | null;
  readonly yes: boolean;
  readonly test: boolean;
}

export interface InitOutcome {
  readonly file: string;
  readonly schemaFile: string;
  readonly source: string;
  /** What the database has; null: not asked. */
  readonly found: { readonly tables: number; readonly notes: readonly string[] } | null;
  /** The variable that has no value yet; null: none is missing. */
  readonly unset: string | null;
}

export const init = command<InitArgs, InitOutcome>({
  name: 'init',
  summary: 'Write a first config file',
  description:
    'Asks on a terminal for what the options leave open; --yes takes the usual values. The connection is tried before anything is written, and a file that is there is never overwritten. A password is written nowhere: the file names the variable that holds it.',
  arguments: [],
  options: [
    { kind: 'value', name: 'url', placeholder: 'URL', description: 'postgres://user@host:5432/database' },
    { kind: 'value', name: 'host', placeholder: 'HOST', description: 'instead of --url, as the next three' },
    { kind: 'value', name: 'port', placeholder: 'PORT', description: 'default: 5432' },
    { kind: 'value', name: 'database', placeholder: 'NAME', description: 'the database to copy from' },
    { kind: 'value', name: 'user', placeholder: 'ROLE', description: 'the role to connect as' },
    {
      kind: 'value',
      name: 'password-env',
      placeholder: 'VARIABLE',
      description: 'the variable that holds the password; default: from the name of the source',
    },
    {
      kind: 'value',
      name: 'tls',
      placeholder: 'MODE',
      description: `${TLS_MODES.join(', ')}; default: as the host needs`,
    },
    {
      kind: 'value',
      name: 'source',
      placeholder: 'NAME',
      description: 'name of the source; default: that of the database',
    },
    {
      kind: 'value',
      name: 'destination',
      placeholder: 'PATH',
      description: 'the DuckDB file; default: warehouse.duckdb',
    },
    { kind: 'flag', name: 'yes', description: 'ask nothing' },
    { kind: 'flag', name: 'no-test', description: 'write the file without trying the connection' },
  ],
  examples: [
    { command: 'init', text: 'asks what it needs to know' },
    { command: 'init --yes --url postgres://sluice@db.example.com/shop', text: 'the password is in $SHOP_PASSWORD' },
    {
      command:
        'init --yes --host localhost --database shop --user sluice --password-env PGPASSWORD --destination shop.duckdb',
      text: 'part by part',
    },
  ],
  parse: parseInit,
  async run(args, context) {
    const file = context.configFile;
    await refuseExisting(file, context);
    const interview = args.yes ? null : await context.openInterview();
    interview?.begin(`A first ${basename(file)}`);
    const { starter, password } = await complete(args, interview, context);
    const text = starterText(starter);
    const found = args.test ? await tryConnection(text, starter, password, context) : null;
    await context.files.createText(file, text);
    const schemaFile = join(dirname(file), SCHEMA_FILE);
    // One that is there is that of an earlier init, or somebody's own.
    await context.files.createText(schemaFile, await context.readSchema()).catch(() => undefined);
    interview?.end(`${file} is written`);
    const { passwordEnv, source } = starter;
    const unset = passwordEnv !== null && (context.host.env[passwordEnv] ?? '') === '' ? passwordEnv : null;
    return { file, schemaFile, source, found, unset };
  },
  views: { human: initText, json: initJson },
});

function parseInit(input: Input): InitArgs {
  const url = input.value('url');
  const parsed = url === null ? null : parseConnectionUrl(url);
  if (parsed?.ok === false) throw usage(`--url: ${parsed.reason}`);
  const parts = parsed?.parts ?? null;
  const port = input.value('port');
  if (port !== null && !(/^\d{1,5}$/.test(port) && Number(port) >= 1 && Number(port) <= 65_535)) {
    throw usage(`--port is a number from 1 to 65535, not "${port}"`);
  }
  const source = input.value('source');
  if (source !== null && sourceNameFor(source) !== source) {
    throw usage(`--source is a name of letters, digits, _ and -, beginning with a letter, not "${source}"`);
  }
  return {
    host: input.value('host') ?? parts?.host ?? null,
    port: port === null ? (parts?.port ?? null) : Number(port),
    database: input.value('database') ?? parts?.database ?? null,
    user: input.value('user') ?? parts?.user ?? null,
    passwordEnv: variableName(input.value('password-env')),
    password: parts?.password ?? null,
    tls: tlsMode(input.value('tls') ?? parts?.sslMode ?? null),
    source,
    destination: input.value('destination'),
    yes: input.flag('yes'),
    test: !input.flag('no-test'),
  };
}

function tlsMode(text: string | null): TlsMode | null {
  if (text === null) return null;
  const mode = TLS_MODES.find((known) => known === text);
  if (mode === undefined) throw usage(`TLS is one of ${TLS_MODES.join(', ')}, not "${text}"`);
  return mode;
}

function variableName(text: string | null): string | null {
  const wrong = text === null ? null : wrongVariable(text);
  if (wrong !== null) throw usage(`--password-env: ${wrong}`);
  return text;
}

/** Whoever takes it for the password itself must not find that in the file, or in an error. */
function wrongVariable(text: string): string | null {
  return /^[A-Za-z_][A-Za-z0-9_]*$/.test(text) ? null : 'this is the name of a variable, not the password itself';
}

/** Asks for what is open, or takes the usual. @throws USAGE where nobody can be asked for what has no usual value */
async function complete(
  args: InitArgs,
  interview: Interview | null,
  context: Context,
): Promise<{ readonly starter: Starter; readonly password: string | null }> {
  const missing = (['host', 'database', 'user'] as const).filter((name) => args[name] === null);
  if (interview === null && missing.length > 0) {
    throw usage(
      `init needs ${missing.map((name) => `--${name}`).join(', ')}, or a --url that holds ${missing.length === 1 ? 'it' : 'them'}`,
    );
  }
  const ask = async (
    given: string | null,
    message: string,
    usual: string | null,
    check?: (text: string) => string | null,
  ) => given ?? (interview === null ? (usual ?? '') : interview.text({ message, usual, ...(check && { check }) }));
  const host = await ask(args.host, 'Host of the database server', 'localhost');
  const port = await ask(args.port === null ? null : String(args.port), 'Port', '5432', (text) =>
    /^\d{1,5}$/.test(text) ? null : 'a number is needed',
  );
  const database = await ask(args.database, 'Database', null);
  const user = await ask(args.user, 'Role to connect as', 'sluice');
  const source = args.source ?? sourceNameFor(database);
  const usualVariable = passwordVariableFor(source);
  const passwordEnv = await ask(
    args.passwordEnv,
    'Variable that holds the password (its name, not the password)',
    usualVariable,
    wrongVariable,
  );
  const known = args.password ?? context.host.env[passwordEnv] ?? '';
  const password =
    known === '' && interview !== null && args.test
      ? await interview.secret(`$${passwordEnv} is not set. Password, for the test alone (empty: none)`)
      : known;
  const tls = await ask(args.tls, `TLS (${TLS_MODES.join(', ')})`, usualTls(host) ?? 'disable', (text) =>
    TLS_MODES.some((mode) => mode === text) ? null : `one of ${TLS_MODES.join(', ')}`,
  );
  const destination = await ask(args.destination, 'DuckDB file to copy into', 'warehouse.duckdb');
  const starter: Starter = {
    source,
    host,
    port: Number(port),
    database,
    user,
    passwordEnv,
    tls: host.startsWith('/') ? null : tlsMode(tls),
    destination,
    schema: `./${SCHEMA_FILE}`,
  };
  return { starter, password: password === '' ? null : password };
}

/** Reads the file as it would be, connects, and looks at the tables. @throws what keeps it from that */
async function tryConnection(
  text: string,
  starter: Starter,
  password: string | null,
  context: Context,
): Promise<NonNullable<InitOutcome['found']>> {
  const reading = await context.checkConfig(text);
  if (!reading.ok) throw new ConfigRefused(context.configFile, reading);
  // A variable that is not set is an empty password: the server may ask for none.
  const variable = starter.passwordEnv === null ? {} : { [starter.passwordEnv]: password ?? '' };
  const host = { ...context.host, env: { ...context.host.env, ...variable } };
  const engine = await context.createEngine({
    config: reading.config,
    clock: context.clock,
    host,
    onEvent: context.live,
  });
  try {
    const request = { source: null, connection: connectionName(starter.source), schema: null };
    const [seen] = (await engine.discover(request, context.signal)).sources;
    if (seen?.error) {
      const { hint } = seen.error;
      const nothing = 'nothing was written; --no-test writes the file without trying';
      throw fromPlain({ ...seen.error, hint: hint === undefined ? nothing : `${hint}\n${nothing}` });
    }
    return { tables: seen?.tables.length ?? 0, notes: seen?.notes ?? [] };
  } finally {
    await engine.close();
  }
}

async function refuseExisting(file: string, context: Context): Promise<void> {
  const there = await context.files.readText(file).then(
    () => true,
    () => false,
  );
  if (!there) return;
  throw new SluiceError({
    code: 'CONFIG_UNWRITABLE',
    message: `${file} is there already`,
    hint: 'name another file with -c FILE; to add tables to this one: sluice discover --write',
  });
}

function usage(message: string): SluiceError {
  return new SluiceError({ code: 'USAGE', message, hint: 'see sluice init --help' });
}
