// biome-ignore-all lint/suspicious/noTemplateCurlyInString: variables are part of the files under test
import { expect, test } from 'vitest';
import { type FileParts, problemsOf, withParts } from '../../test/config/config-text.js';

/** What a wrong file looks like on the terminal: YAML, variables and the shape of values. What they mean is in mistakes-of-meaning.test.ts. */
const MISTAKES: readonly {
  readonly name: string;
  readonly parts?: FileParts;
  readonly text?: string;
  readonly expected: readonly string[];
}[] = [
  {
    name: 'an empty file',
    text: '',
    expected: ['sources.yaml:1:1  the file is empty; it needs version, connections, destinations and sources'],
  },
  {
    name: 'only comments',
    text: lines('# later', ''),
    expected: [
      'sources.yaml:1:1  the file is empty; it needs version, connections, destinations and sources',
      '    # later',
      '    ^',
    ],
  },
  {
    name: 'a list instead of a mapping',
    text: lines('- shop', ''),
    expected: ['sources.yaml:1:1  expected a mapping (key: value), found a list', '    - shop', '    ^'],
  },
  {
    name: 'a text instead of a mapping',
    text: lines('hello', ''),
    expected: ['sources.yaml:1:1  expected a mapping (key: value), found the text "hello"', '    hello', '    ^'],
  },
  {
    name: 'an empty mapping lacks every section',
    text: lines('{}', ''),
    expected: [
      'sources.yaml:1:1  version  required key is missing',
      '    {}',
      '    ^',
      'sources.yaml:1:1  connections  required key is missing',
      '    {}',
      '    ^',
      'sources.yaml:1:1  destinations  required key is missing',
      '    {}',
      '    ^',
      'sources.yaml:1:1  sources  required key is missing',
      '    {}',
      '    ^',
    ],
  },
  {
    name: 'a closing brace is missing',
    text: lines('version: 1', 'connections: { shop_db: { host: localhost }', 'destinations: {}', ''),
    expected: ['sources.yaml:3:1  YAML: the indentation does not fit the lines above', '    destinations: {}', '    ^'],
  },
  {
    name: 'tabs as indentation',
    text: lines('version: 1', 'connections:', '	shop_db: {}', ''),
    expected: ['sources.yaml:3:1  YAML: tabs cannot indent; use spaces', '    	shop_db: {}', '    ^'],
  },
  {
    name: 'a key without its colon',
    text: lines('version: 1', 'connections', '  shop_db: {}', ''),
    expected: [
      'sources.yaml:2:1  YAML: a key goes over several lines; a colon or a closing quote may be missing',
      '    connections',
      '    ^',
    ],
  },
  {
    name: 'an alias without an anchor',
    parts: { tables: '      public.users: { schedule: *nightly }' },
    expected: [
      'sources.yaml:11:33  sources.shop.tables["public.users"].schedule  YAML: an alias (*name) has no anchor (&name) before it; put a text that begins with * in quotes',
      '          public.users: { schedule: *nightly }',
      '                                    ^',
    ],
  },
  {
    name: 'an alias inside of what it stands for',
    parts: { more: 'x-loop: &loop { again: *loop }' },
    expected: [
      'sources.yaml:12:24  x-loop.again  an alias stands inside of what it stands for',
      '    x-loop: &loop { again: *loop }',
      '                           ^',
    ],
  },
  {
    name: 'an unknown tag',
    parts: { tables: '      public.users: { cursor: !column id }' },
    expected: [
      'sources.yaml:11:31  YAML: an unknown tag (!name); put a text that begins with ! in quotes',
      '          public.users: { cursor: !column id }',
      '                                  ^',
    ],
  },
  {
    name: 'two documents',
    text: lines('version: 1', '---', 'version: 1', ''),
    expected: [
      'sources.yaml:2:1  YAML: the file holds more than one document; remove the second ---',
      '    ---',
      '    ^',
    ],
  },
  {
    name: 'a syntax error does not show the password on its line',
    text: lines('connections:', '  shop_db: { password: hunter2, host: [ }', ''),
    expected: [
      'sources.yaml:2:41  YAML: the indentation does not fit the lines above',
      '      shop_db: { password: ***',
      '                           ^',
    ],
  },
  {
    name: 'a password that begins with a star is not shown',
    text: lines('connections:', '  shop_db:', '    password: *hunter2', ''),
    expected: [
      'sources.yaml:1:1  version  required key is missing',
      '    connections:',
      '    ^',
      'sources.yaml:1:1  destinations  required key is missing',
      '    connections:',
      '    ^',
      'sources.yaml:1:1  sources  required key is missing',
      '    connections:',
      '    ^',
      'sources.yaml:2:3  connections.shop_db.host  required key is missing (or a url that holds it)',
      '      shop_db:',
      '      ^',
      'sources.yaml:2:3  connections.shop_db.database  required key is missing (or a url that holds it)',
      '      shop_db:',
      '      ^',
      'sources.yaml:2:3  connections.shop_db.user  required key is missing (or a url that holds it)',
      '      shop_db:',
      '      ^',
      'sources.yaml:3:15  connections.shop_db.password  YAML: an alias (*name) has no anchor (&name) before it; put a text that begins with * in quotes',
      '        password: ***',
      '                  ^',
    ],
  },
  {
    name: 'a key given twice',
    parts: { tables: lines('      public.users: {}', '      public.users: { method: cdc }') },
    expected: [
      'sources.yaml:12:7  sources.shop.tables["public.users"]  key is given twice; it stands on line 11 already',
      '          public.users: { method: cdc }',
      '          ^',
    ],
  },
  {
    name: 'a key given twice does not hide other mistakes',
    parts: { tables: lines('      public.users: {}', '      public.users: {}', '      public.orders: { metod: cdc }') },
    expected: [
      'sources.yaml:12:7  sources.shop.tables["public.users"]  key is given twice; it stands on line 11 already',
      '          public.users: {}',
      '          ^',
      'sources.yaml:13:24  sources.shop.tables["public.orders"].metod  unknown key; did you mean "method"?',
      '          public.orders: { metod: cdc }',
      '                           ^',
    ],
  },
  {
    name: 'a merge of something that is no mapping',
    parts: { tables: lines('      public.users:', '        <<: 5') },
    expected: [
      'sources.yaml:12:13  sources.shop.tables["public.users"]["<<"]  expected an alias of a mapping, such as <<: *defaults',
      '            <<: 5',
      '                ^',
    ],
  },
  {
    name: 'a misspelled key',
    parts: { tables: lines('      public.users:', '        metod: cdc') },
    expected: [
      'sources.yaml:12:9  sources.shop.tables["public.users"].metod  unknown key; did you mean "method"?',
      '            metod: cdc',
      '            ^',
    ],
  },
  {
    name: 'a misspelled method does not make its cursor wrong',
    parts: { tables: '      public.users: { metod: incremental, cursor: id }' },
    expected: [
      'sources.yaml:11:23  sources.shop.tables["public.users"].metod  unknown key; did you mean "method"?',
      '          public.users: { metod: incremental, cursor: id }',
      '                          ^',
    ],
  },
  {
    name: 'a misspelled key that is required is one mistake',
    parts: { destinations: '  warehouse: { type: duckdb, paht: warehouse.duckdb }' },
    expected: [
      'sources.yaml:5:30  destinations.warehouse.paht  unknown key; did you mean "path"?',
      '      warehouse: { type: duckdb, paht: warehouse.duckdb }',
      '                                 ^',
    ],
  },
  {
    name: 'an unknown key without a near name',
    parts: { tables: '      public.users: { frequency: hourly }' },
    expected: [
      'sources.yaml:11:23  sources.shop.tables["public.users"].frequency  unknown key; known: method, output, deletes, cursor, lookback, on_add_columns, on_partition_change, on_remove, schedule, columns, primary_key, partition_by, types, enabled',
      '          public.users: { frequency: hourly }',
      '                          ^',
    ],
  },
  {
    name: 'a key that belongs one level deeper',
    parts: { source: '    slot: sluice_shop' },
    expected: [
      'sources.yaml:10:5  sources.shop.slot  unknown key here; it belongs under "cdc"',
      '        slot: sluice_shop',
      '        ^',
    ],
  },
  {
    name: 'an unknown section',
    parts: { more: 'pipelines: {}' },
    expected: [
      'sources.yaml:12:1  pipelines  unknown key; known: version, state, connections, destinations, daemon, sources, alerts, moved',
      '    pipelines: {}',
      '    ^',
    ],
  },
  {
    name: 'a misspelled secret key does not show the secret',
    parts: { connections: '  shop_db: { host: localhost, database: shop, user: sluice, pasword: hunter2 }' },
    expected: [
      'sources.yaml:3:61  connections.shop_db.pasword  unknown key; did you mean "password"?',
      '      shop_db: { host: localhost, database: shop, user: sluice, pasword: *** }',
      '                                                                ^',
    ],
  },
  {
    name: 'a misspelled kind of secret reference',
    parts: {
      connections: '  shop_db: { host: localhost, database: shop, user: sluice, password: { evn: SHOP_PASSWORD } }',
    },
    expected: [
      'sources.yaml:3:73  connections.shop_db.password.evn  unknown key; did you mean "env"?',
      '      shop_db: { host: localhost, database: shop, user: sluice, password: { evn: *** } }',
      '                                                                            ^',
    ],
  },
  {
    name: 'two kinds of secret reference',
    parts: {
      connections: '  shop_db: { host: localhost, database: shop, user: sluice, password: { env: A, file: b } }',
    },
    expected: [
      'sources.yaml:3:71  connections.shop_db.password  expected exactly one of { env: NAME }, { file: PATH }, { credential: NAME }',
      '      shop_db: { host: localhost, database: shop, user: sluice, password: { env: A, file: b } }',
      '                                                                          ^',
    ],
  },
  {
    name: 'an empty secret reference',
    parts: { connections: '  shop_db: { host: localhost, database: shop, user: sluice, password: {} }' },
    expected: [
      'sources.yaml:3:71  connections.shop_db.password  expected exactly one of { env: NAME }, { file: PATH }, { credential: NAME }',
      '      shop_db: { host: localhost, database: shop, user: sluice, password: {} }',
      '                                                                          ^',
    ],
  },
  {
    name: 'a number as password',
    parts: { connections: '  shop_db: { host: localhost, database: shop, user: sluice, password: 12345 }' },
    expected: [
      'sources.yaml:3:71  connections.shop_db.password  expected exactly one of { env: NAME }, { file: PATH }, { credential: NAME }, found another value',
      '      shop_db: { host: localhost, database: shop, user: sluice, password: *** }',
      '                                                                          ^',
    ],
  },
  {
    name: 'another version',
    parts: { version: 'version: 2' },
    expected: ['sources.yaml:1:10  version  expected 1, found 2', '    version: 2', '             ^'],
  },
  {
    name: 'the version as text',
    parts: { version: 'version: "1"' },
    expected: ['sources.yaml:1:10  version  expected 1, found the text "1"', '    version: "1"', '             ^'],
  },
  {
    name: 'no version',
    parts: { version: '# none' },
    expected: ['sources.yaml:2:1  version  required key is missing', '    connections:', '    ^'],
  },
  {
    name: 'a value that is not one of the known',
    parts: { tables: '      public.users: { method: cdcc }' },
    expected: [
      'sources.yaml:11:31  sources.shop.tables["public.users"].method  expected one of cdc, incremental, append, full_table, found the text "cdcc"; did you mean "cdc"?',
      '          public.users: { method: cdcc }',
      '                                  ^',
    ],
  },
  {
    name: 'a known value of another kind',
    parts: { tables: '      public.users: { deletes: true }' },
    expected: [
      'sources.yaml:11:32  sources.shop.tables["public.users"].deletes  expected one of soft, hard, found true',
      '          public.users: { deletes: true }',
      '                                   ^',
    ],
  },
  {
    name: 'yes instead of true',
    parts: { tables: '      public.users: { enabled: yes }' },
    expected: [
      'sources.yaml:11:32  sources.shop.tables["public.users"].enabled  expected true or false, found the text "yes"',
      '          public.users: { enabled: yes }',
      '                                   ^',
    ],
  },
  {
    name: 'a port beyond the range',
    parts: { connections: '  shop_db: { host: localhost, database: shop, user: sluice, port: 70000 }' },
    expected: [
      'sources.yaml:3:67  connections.shop_db.port  expected a whole number from 1 to 65535, found 70000',
      '      shop_db: { host: localhost, database: shop, user: sluice, port: 70000 }',
      '                                                                      ^',
    ],
  },
  {
    name: 'a port as text',
    parts: { connections: '  shop_db: { host: localhost, database: shop, user: sluice, port: "5432" }' },
    expected: [
      'sources.yaml:3:67  connections.shop_db.port  expected a whole number from 1 to 65535, found the text "5432"',
      '      shop_db: { host: localhost, database: shop, user: sluice, port: "5432" }',
      '                                                                      ^',
    ],
  },
  {
    name: 'a port from a variable',
    parts: { connections: '  shop_db: { host: localhost, database: shop, user: sluice, port: "${SET}" }' },
    expected: [
      'sources.yaml:3:67  connections.shop_db.port  expected a whole number from 1 to 65535, found the value of ${SET} (a variable always gives a text)',
      '      shop_db: { host: localhost, database: shop, user: sluice, port: "${SET}" }',
      '                                                                      ^',
    ],
  },
  {
    name: 'a variable without quotes inside of braces',
    parts: { connections: '  shop_db: { host: localhost, database: shop, user: sluice, port: ${SET} }' },
    expected: [
      'sources.yaml:3:68  YAML: put a value with ${...} in quotes inside of { } and [ ]',
      '      shop_db: { host: localhost, database: shop, user: sluice, port: ${SET} }',
      '                                                                       ^',
    ],
  },
  {
    name: 'a missing destination type',
    parts: { destinations: '  warehouse: { path: warehouse.duckdb }' },
    expected: [
      'sources.yaml:5:3  destinations.warehouse.type  required key is missing; one of duckdb, s3, local',
      '      warehouse: { path: warehouse.duckdb }',
      '      ^',
    ],
  },
  {
    name: 'a misspelled destination type',
    parts: { destinations: '  warehouse: { type: duckdbb, path: warehouse.duckdb }' },
    expected: [
      'sources.yaml:5:22  destinations.warehouse.type  expected one of duckdb, s3, local, found the text "duckdbb"; did you mean "duckdb"?',
      '      warehouse: { type: duckdbb, path: warehouse.duckdb }',
      '                         ^',
    ],
  },
  {
    name: 'a destination without its path',
    parts: { destinations: '  warehouse: { type: duckdb }' },
    expected: [
      'sources.yaml:5:3  destinations.warehouse.path  required key is missing',
      '      warehouse: { type: duckdb }',
      '      ^',
    ],
  },
  {
    name: 'too little memory',
    parts: { destinations: '  warehouse: { type: duckdb, path: w.duckdb, memory_limit_mb: 8 }' },
    expected: [
      'sources.yaml:5:63  destinations.warehouse.memory_limit_mb  expected a whole number from 64 to 1048576, found 8',
      '      warehouse: { type: duckdb, path: w.duckdb, memory_limit_mb: 8 }',
      '                                                                  ^',
    ],
  },
  {
    name: 'a name that cannot be part of an address',
    parts: {
      connections: lines(
        '  "shop db": { host: localhost, database: shop, user: sluice }',
        '  shop_db: { host: localhost, database: shop, user: sluice }',
      ),
    },
    expected: [
      'sources.yaml:3:3  connections["shop db"]  expected a name of letters, digits, _ and -, starting with a letter, at most 40 long',
      '      "shop db": { host: localhost, database: shop, user: sluice }',
      '      ^',
    ],
  },
  {
    name: 'nothing where a section is expected',
    text: lines('version: 1', 'connections:', 'destinations: {}', 'sources: {}', ''),
    expected: [
      'sources.yaml:2:13  connections  expected a mapping (key: value), found nothing',
      '    connections:',
      '                ^',
    ],
  },
  {
    name: 'a list of tables',
    parts: { tables: '      - public.users' },
    expected: [
      'sources.yaml:11:7  sources.shop.tables  expected a mapping (key: value), found a list',
      '          - public.users',
      '          ^',
    ],
  },
  {
    name: 'an empty primary key',
    parts: { tables: '      public.users: { method: incremental, cursor: id, primary_key: [] }' },
    expected: [
      'sources.yaml:11:69  sources.shop.tables["public.users"].primary_key  expected at least one entry, found an empty list',
      '          public.users: { method: incremental, cursor: id, primary_key: [] }',
      '                                                                        ^',
    ],
  },
  {
    name: 'a column given twice',
    parts: { tables: '      public.users: { columns: { exclude: [a, a] } }' },
    expected: [
      'sources.yaml:11:43  sources.shop.tables["public.users"].columns.exclude  an entry is given twice',
      '          public.users: { columns: { exclude: [a, a] } }',
      '                                              ^',
    ],
  },
  {
    name: 'a single column instead of a list',
    parts: { tables: '      public.users: { columns: { exclude: a } }' },
    expected: [
      'sources.yaml:11:43  sources.shop.tables["public.users"].columns.exclude  expected a list, found the text "a"',
      '          public.users: { columns: { exclude: a } }',
      '                                              ^',
    ],
  },
  {
    name: 'a duration without a unit',
    parts: { tables: '      public.users: { schedule: { every: 5 } }' },
    expected: [
      'sources.yaml:11:42  sources.shop.tables["public.users"].schedule.every  expected a duration such as 30s, 5m, 1h30m or 1d, found 5',
      '          public.users: { schedule: { every: 5 } }',
      '                                             ^',
    ],
  },
  {
    name: 'a duration with an unknown unit',
    parts: { tables: '      public.users: { schedule: { every: 5min } }' },
    expected: [
      'sources.yaml:11:42  sources.shop.tables["public.users"].schedule.every  expected a duration such as 30s, 5m, 1h30m or 1d, found the text "5min"',
      '          public.users: { schedule: { every: 5min } }',
      '                                             ^',
    ],
  },
  {
    name: 'an upper-case slot',
    parts: { source: '    cdc: { slot: Sluice-Shop }' },
    expected: [
      'sources.yaml:10:18  sources.shop.cdc.slot  expected at most 63 lower-case letters, digits and underscores (what Postgres allows in a slot name), found the text "Sluice-Shop"',
      '        cdc: { slot: Sluice-Shop }',
      '                     ^',
    ],
  },
  {
    name: 'a metadata prefix that is no identifier',
    parts: { source: '    metadata_prefix: "9-"' },
    expected: [
      'sources.yaml:10:22  sources.shop.metadata_prefix  expected letters, digits and _, not starting with a digit, found the text "9-"',
      '        metadata_prefix: "9-"',
      '                         ^',
    ],
  },
  {
    name: 'an unknown destination type for a column',
    parts: { tables: '      public.users: { types: { balance: float } }' },
    expected: [
      'sources.yaml:11:41  sources.shop.tables["public.users"].types.balance  expected varchar, double, json or decimal(precision,scale), found the text "float"',
      '          public.users: { types: { balance: float } }',
      '                                            ^',
    ],
  },
  {
    name: 'an SSH fingerprint of another kind',
    parts: {
      connections:
        '  shop_db: { host: localhost, database: shop, user: sluice, tunnel: { host: b, user: u, password: { env: A }, host_key: "MD5:00:11" } }',
    },
    expected: [
      'sources.yaml:3:121  connections.shop_db.tunnel.host_key  expected a fingerprint as ssh-keygen -lf prints it: SHA256: and 43 characters, found the text "MD5:00:11"',
      '      shop_db: { host: localhost, database: shop, user: sluice, tunnel: { host: b, user: u, password: { env: A }, host_key: "MD5:00:11" } }',
      '                                                                                                                            ^',
    ],
  },
  {
    name: 'a missing variable',
    parts: { connections: '  shop_db: { host: "${NO_HOST}", database: shop, user: sluice }' },
    expected: [
      'sources.yaml:3:20  connections.shop_db.host  variable NO_HOST is not set; set it, or give a default: ${NO_HOST:-...}',
      '      shop_db: { host: "${NO_HOST}", database: shop, user: sluice }',
      '                       ^',
    ],
  },
  {
    name: 'every missing variable at once',
    parts: { connections: '  shop_db: { host: "${NO_HOST}", database: "${NO_DB}-${NO_SUFFIX}", user: sluice }' },
    expected: [
      'sources.yaml:3:20  connections.shop_db.host  variable NO_HOST is not set; set it, or give a default: ${NO_HOST:-...}',
      '      shop_db: { host: "${NO_HOST}", database: "${NO_DB}-${NO_SUFFIX}", user: sluice }',
      '                       ^',
      'sources.yaml:3:44  connections.shop_db.database  variable NO_DB is not set; set it, or give a default: ${NO_DB:-...}',
      '      shop_db: { host: "${NO_HOST}", database: "${NO_DB}-${NO_SUFFIX}", user: sluice }',
      '                                               ^',
      'sources.yaml:3:44  connections.shop_db.database  variable NO_SUFFIX is not set; set it, or give a default: ${NO_SUFFIX:-...}',
      '      shop_db: { host: "${NO_HOST}", database: "${NO_DB}-${NO_SUFFIX}", user: sluice }',
      '                                               ^',
    ],
  },
  {
    name: 'a missing variable with a message of its own',
    parts: { connections: '  shop_db: { host: "${NO_HOST:?the host of the shop}", database: shop, user: sluice }' },
    expected: [
      'sources.yaml:3:20  connections.shop_db.host  variable NO_HOST is not set: the host of the shop',
      '      shop_db: { host: "${NO_HOST:?the host of the shop}", database: shop, user: sluice }',
      '                       ^',
    ],
  },
  {
    name: 'an empty variable where one is required',
    parts: { connections: '  shop_db: { host: "${EMPTY:?}", database: shop, user: sluice }' },
    expected: [
      'sources.yaml:3:20  connections.shop_db.host  variable EMPTY is empty',
      '      shop_db: { host: "${EMPTY:?}", database: shop, user: sluice }',
      '                       ^',
    ],
  },
  {
    name: 'a malformed variable',
    parts: { connections: '  shop_db: { host: "${SET-x}", database: shop, user: sluice }' },
    expected: [
      'sources.yaml:3:20  connections.shop_db.host  malformed variable; expected ${NAME}, ${NAME:-default} or ${NAME:?message}, and $$ for a dollar sign',
      '      shop_db: { host: "${SET-x}", database: shop, user: sluice }',
      '                       ^',
    ],
  },
  {
    name: 'a variable without its brace',
    parts: { connections: '  shop_db: { host: "${SET", database: shop, user: sluice }' },
    expected: [
      'sources.yaml:3:20  connections.shop_db.host  malformed variable; expected ${NAME}, ${NAME:-default} or ${NAME:?message}, and $$ for a dollar sign',
      '      shop_db: { host: "${SET", database: shop, user: sluice }',
      '                       ^',
    ],
  },
  {
    name: 'what a variable held is not shown',
    parts: { tables: '      public.users: { method: "${HOSTILE}" }' },
    expected: [
      'sources.yaml:11:31  sources.shop.tables["public.users"].method  expected one of cdc, incremental, append, full_table, found the value of ${HOSTILE} (a variable always gives a text)',
      '          public.users: { method: "${HOSTILE}" }',
      '                                  ^',
    ],
  },
];

test.each(MISTAKES)('$name', ({ parts, text, expected }) => {
  expect(problemsOf(text ?? withParts(parts ?? {})).split('\n')).toEqual(expected);
});

function lines(...all: string[]): string {
  return all.join('\n');
}
