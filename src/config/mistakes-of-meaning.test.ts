// biome-ignore-all lint/suspicious/noTemplateCurlyInString: variables are part of the files under test
import { expect, test } from 'vitest';
import { type FileParts, problemsOf, withParts } from '../../test/config/config-text.js';

/** Files of the right form that ask for something impossible, and what is said of them. The form is in mistakes-of-form.test.ts. */
const MISTAKES: readonly {
  readonly name: string;
  readonly parts?: FileParts;
  readonly text?: string;
  readonly expected: readonly string[];
}[] = [
  {
    name: 'a connection that does not exist',
    parts: { connections: '  shop_dbs: { host: localhost, database: shop, user: sluice }' },
    expected: [
      'sources.yaml:8:17  sources.shop.connection  no connection is called "shop_db"; did you mean "shop_dbs"?',
      '        connection: shop_db',
      '                    ^',
    ],
  },
  {
    name: 'a destination that does not exist',
    parts: { destinations: '  lake: { type: duckdb, path: w.duckdb }' },
    expected: [
      'sources.yaml:9:18  sources.shop.destination  no destination is called "warehouse"; known: lake',
      '        destination: warehouse',
      '                     ^',
    ],
  },
  {
    name: 'a connection with mistakes still exists',
    parts: { connections: '  shop_db: 5' },
    expected: [
      'sources.yaml:3:12  connections.shop_db  expected a mapping (key: value), found 5',
      '      shop_db: 5',
      '               ^',
    ],
  },
  {
    name: 'neither host nor url',
    parts: { connections: '  shop_db: { database: shop, user: sluice }' },
    expected: [
      'sources.yaml:3:3  connections.shop_db.host  required key is missing (or a url that holds it)',
      '      shop_db: { database: shop, user: sluice }',
      '      ^',
    ],
  },
  {
    name: 'a url without database and user',
    parts: { connections: '  shop_db: { url: "postgres://localhost" }' },
    expected: [
      'sources.yaml:3:3  connections.shop_db.database  required key is missing, as the url does not hold it',
      '      shop_db: { url: "postgres://localhost" }',
      '      ^',
      'sources.yaml:3:3  connections.shop_db.user  required key is missing, as the url does not hold it',
      '      shop_db: { url: "postgres://localhost" }',
      '      ^',
    ],
  },
  {
    name: 'a url that is none',
    parts: { connections: '  shop_db: { url: "localhost:5432/shop" }' },
    expected: [
      'sources.yaml:3:19  connections.shop_db.url  expected a url such as postgres://user@host:5432/database',
      '      shop_db: { url: "localhost:5432/shop" }',
      '                      ^',
    ],
  },
  {
    name: 'a url without its scheme does not show the password',
    parts: { connections: '  shop_db: { url: "sluice:hunter2@localhost/shop" }' },
    expected: [
      'sources.yaml:3:19  connections.shop_db.url  expected a url such as postgres://user@host:5432/database',
      '      shop_db: { url: "sluice:***@localhost/shop" }',
      '                      ^',
    ],
  },
  {
    name: 'a url of another database',
    parts: { connections: '  shop_db: { url: "mysql://root@localhost/shop" }' },
    expected: [
      'sources.yaml:3:19  connections.shop_db.url  expected a url that begins with postgres:// or postgresql://, found mysql://',
      '      shop_db: { url: "mysql://root@localhost/shop" }',
      '                      ^',
    ],
  },
  {
    name: 'a url with an unencoded password, which is not shown',
    parts: { connections: '  shop_db: { url: "postgres://u:hun#ter2@localhost/shop" }' },
    expected: [
      'sources.yaml:3:19  connections.shop_db.url  not a valid url; characters such as @ : / # ? in a user name or password must be percent-encoded',
      '      shop_db: { url: "postgres://u:***@localhost/shop" }',
      '                      ^',
    ],
  },
  {
    name: 'a url with a bad percent sign',
    parts: { connections: '  shop_db: { url: "postgres://u:100%@localhost/shop" }' },
    expected: [
      'sources.yaml:3:19  connections.shop_db.url  not a valid url; a percent sign must be written as %25',
      '      shop_db: { url: "postgres://u:***@localhost/shop" }',
      '                      ^',
    ],
  },
  {
    name: 'a url with a bad port',
    parts: { connections: '  shop_db: { url: "postgres:///shop?host=/tmp&user=u&port=0" }' },
    expected: [
      'sources.yaml:3:19  connections.shop_db.url  expected a port from 1 to 65535',
      '      shop_db: { url: "postgres:///shop?host=/tmp&user=u&port=0" }',
      '                      ^',
    ],
  },
  {
    name: 'a url with several hosts',
    parts: { connections: '  shop_db: { url: "postgres://u@a,b/shop" }' },
    expected: [
      'sources.yaml:3:19  connections.shop_db.url  expected one host; several are not supported',
      '      shop_db: { url: "postgres://u@a,b/shop" }',
      '                      ^',
    ],
  },
  {
    name: 'a url with an unknown sslmode',
    parts: { connections: '  shop_db: { url: "postgres://u@localhost/shop?sslmode=verify_full" }' },
    expected: [
      'sources.yaml:3:19  connections.shop_db.url  unknown sslmode; did you mean "verify-full"?',
      '      shop_db: { url: "postgres://u@localhost/shop?sslmode=verify_full" }',
      '                      ^',
    ],
  },
  {
    name: 'a url whose sslmode falls back',
    parts: { connections: '  shop_db: { url: "postgres://u@localhost/shop?sslmode=prefer" }' },
    expected: [
      'sources.yaml:3:19  connections.shop_db.url  sslmode=prefer may go on as plain text unseen; use verify-full, verify-ca or require',
      '      shop_db: { url: "postgres://u@localhost/shop?sslmode=prefer" }',
      '                      ^',
    ],
  },
  {
    name: 'a url that disables TLS to another machine',
    parts: { connections: '  shop_db: { url: "postgres://u@db.example.com/shop?sslmode=disable" }' },
    expected: [
      'sources.yaml:3:19  connections.shop_db.url  password and rows would go to "db.example.com" as plain text; use verify-full, or add allow_plaintext: true',
      '      shop_db: { url: "postgres://u@db.example.com/shop?sslmode=disable" }',
      '                      ^',
    ],
  },
  {
    name: 'plain text to another machine',
    parts: { connections: '  shop_db: { host: db.example.com, database: shop, user: sluice, tls: { mode: disable } }' },
    expected: [
      'sources.yaml:3:79  connections.shop_db.tls.mode  password and rows would go to "db.example.com" as plain text; use verify-full, or add allow_plaintext: true',
      '      shop_db: { host: db.example.com, database: shop, user: sluice, tls: { mode: disable } }',
      '                                                                                  ^',
    ],
  },
  {
    name: 'allow_plaintext without disable',
    parts: {
      connections: '  shop_db: { host: localhost, database: shop, user: sluice, tls: { allow_plaintext: true } }',
    },
    expected: [
      'sources.yaml:3:85  connections.shop_db.tls.allow_plaintext  only for tls mode "disable"; this one is "verify-full"',
      '      shop_db: { host: localhost, database: shop, user: sluice, tls: { allow_plaintext: true } }',
      '                                                                                        ^',
    ],
  },
  {
    name: 'TLS on a unix socket',
    parts: {
      connections: '  shop_db: { host: /run/postgresql, database: shop, user: sluice, tls: { mode: require } }',
    },
    expected: [
      'sources.yaml:3:80  connections.shop_db.tls.mode  a unix socket has no TLS; leave "tls" out',
      '      shop_db: { host: /run/postgresql, database: shop, user: sluice, tls: { mode: require } }',
      '                                                                                   ^',
    ],
  },
  {
    name: 'certificates that nothing verifies',
    parts: {
      connections:
        '  shop_db: { host: localhost, database: shop, user: sluice, tls: { mode: require, ca_file: ca.pem } }',
    },
    expected: [
      'sources.yaml:3:92  connections.shop_db.tls.ca_file  mode "require" verifies nothing; use verify-full or verify-ca',
      '      shop_db: { host: localhost, database: shop, user: sluice, tls: { mode: require, ca_file: ca.pem } }',
      '                                                                                               ^',
    ],
  },
  {
    name: 'a client certificate without its key',
    parts: { connections: '  shop_db: { host: localhost, database: shop, user: sluice, tls: { cert_file: c.pem } }' },
    expected: [
      'sources.yaml:3:61  connections.shop_db.tls.key_file  required beside cert_file',
      '      shop_db: { host: localhost, database: shop, user: sluice, tls: { cert_file: c.pem } }',
      '                                                                ^',
    ],
  },
  {
    name: 'host and port in one',
    parts: { connections: '  shop_db: { host: "localhost:5433", database: shop, user: sluice }' },
    expected: [
      'sources.yaml:3:20  connections.shop_db.host  expected a host name; give the number under "port"',
      '      shop_db: { host: "localhost:5433", database: shop, user: sluice }',
      '                       ^',
    ],
  },
  {
    name: 'a url as host',
    parts: { connections: '  shop_db: { host: "postgres://localhost", database: shop, user: sluice }' },
    expected: [
      'sources.yaml:3:20  connections.shop_db.host  expected a host name; give a whole address under "url"',
      '      shop_db: { host: "postgres://localhost", database: shop, user: sluice }',
      '                       ^',
    ],
  },
  {
    name: 'brackets around an IPv6 address',
    parts: { connections: '  shop_db: { host: "[::1]", database: shop, user: sluice }' },
    expected: [
      'sources.yaml:3:20  connections.shop_db.host  expected an IPv6 address without brackets',
      '      shop_db: { host: "[::1]", database: shop, user: sluice }',
      '                       ^',
    ],
  },
  {
    name: 'a connect timeout of nothing',
    parts: { connections: '  shop_db: { host: localhost, database: shop, user: sluice, connect_timeout: 0s }' },
    expected: [
      'sources.yaml:3:78  connections.shop_db.connect_timeout  expected at least 1s, found "0s"',
      '      shop_db: { host: localhost, database: shop, user: sluice, connect_timeout: 0s }',
      '                                                                                 ^',
    ],
  },
  {
    name: 'a tunnel without a way to log in, unpinned',
    parts: {
      connections:
        '  shop_db: { host: localhost, database: shop, user: sluice, tunnel: { host: bastion, user: tunnel } }',
    },
    expected: [
      'sources.yaml:3:61  connections.shop_db.tunnel  no way to log in to the SSH host; give "private_key", "agent: true" or "password"',
      '      shop_db: { host: localhost, database: shop, user: sluice, tunnel: { host: bastion, user: tunnel } }',
      '                                                                ^',
      'sources.yaml:3:61  connections.shop_db.tunnel  warning: no "host_key" or "known_hosts": the SSH host is refused until one of them says which key it has',
      '      shop_db: { host: localhost, database: shop, user: sluice, tunnel: { host: bastion, user: tunnel } }',
      '                                                                ^',
    ],
  },
  {
    name: 'a passphrase without a key',
    parts: {
      connections:
        '  shop_db: { host: localhost, database: shop, user: sluice, tunnel: { host: b, user: u, password: { env: A }, passphrase: { env: B } } }',
    },
    expected: [
      'sources.yaml:3:61  connections.shop_db.tunnel  warning: no "host_key" or "known_hosts": the SSH host is refused until one of them says which key it has',
      '      shop_db: { host: localhost, database: shop, user: sluice, tunnel: { host: b, user: u, password: { env: A }, passphrase: { env: B } } }',
      '                                                                ^',
      'sources.yaml:3:123  connections.shop_db.tunnel.passphrase  only together with "private_key"',
      '      shop_db: { host: localhost, database: shop, user: sluice, tunnel: { host: b, user: u, password: { env: A }, passphrase: { env: B } } }',
      '                                                                                                                              ^',
    ],
  },
  {
    name: 'plain text inside of a tunnel that requires TLS',
    parts: {
      connections:
        '  shop_db: { host: localhost, database: shop, user: sluice, tls: { mode: disable }, tunnel: { host: b, user: u, password: { env: A } } }',
    },
    expected: [
      'sources.yaml:3:74  connections.shop_db.tls.mode  the tunnel requires TLS inside of it; use another mode, or set tunnel.require_tls: false',
      '      shop_db: { host: localhost, database: shop, user: sluice, tls: { mode: disable }, tunnel: { host: b, user: u, password: { env: A } } }',
      '                                                                             ^',
      'sources.yaml:3:85  connections.shop_db.tunnel  warning: no "host_key" or "known_hosts": the SSH host is refused until one of them says which key it has',
      '      shop_db: { host: localhost, database: shop, user: sluice, tls: { mode: disable }, tunnel: { host: b, user: u, password: { env: A } } }',
      '                                                                                        ^',
    ],
  },
  {
    name: 'a state connection that does not exist',
    parts: { more: 'state: { type: postgres, connection: shop }' },
    expected: [
      'sources.yaml:12:38  state.connection  no connection is called "shop"; known: shop_db',
      '    state: { type: postgres, connection: shop }',
      '                                         ^',
    ],
  },
  {
    name: 'an S3 key without its secret',
    parts: { more: 'state: { type: s3, bucket: b, access_key_id: { env: A } }' },
    expected: [
      'sources.yaml:12:1  state.secret_access_key  required beside access_key_id',
      '    state: { type: s3, bucket: b, access_key_id: { env: A } }',
      '    ^',
    ],
  },
  {
    name: 'parquet with delta options',
    parts: {
      destinations: lines(
        '  warehouse: { type: local, format: parquet, path: lake, deletes: cow, cluster_by_key: true,',
        '    maintenance: { retention: 1d, deleted_ratio: 0.5 } }',
      ),
      tables: '      public.users: { partition_by: [country] }',
    },
    expected: [
      'sources.yaml:5:58  destinations.warehouse.deletes  only for format "delta"',
      '      warehouse: { type: local, format: parquet, path: lake, deletes: cow, cluster_by_key: true,',
      '                                                             ^',
      'sources.yaml:5:72  destinations.warehouse.cluster_by_key  only for format "delta"',
      '      warehouse: { type: local, format: parquet, path: lake, deletes: cow, cluster_by_key: true,',
      '                                                                           ^',
      'sources.yaml:6:35  destinations.warehouse.maintenance.deleted_ratio  only for format "delta"',
      '        maintenance: { retention: 1d, deleted_ratio: 0.5 } }',
      '                                      ^',
      'sources.yaml:12:23  sources.shop.tables["public.users"].partition_by  only for delta tables; destination "warehouse" is of format "parquet"',
      '          public.users: { partition_by: [country] }',
      '                          ^',
    ],
  },
  {
    name: 'partitions of a table in a DuckDB file',
    parts: { tables: '      "public.*": { partition_by: [country] }' },
    expected: [
      'sources.yaml:11:21  sources.shop.tables["public.*"].partition_by  only for delta tables; destination "warehouse" is a DuckDB file',
      '          "public.*": { partition_by: [country] }',
      '                        ^',
    ],
  },
  {
    name: 'delta options of a DuckDB file, and a copy of a lake',
    parts: {
      destinations: lines(
        '  warehouse: { type: duckdb, path: w.duckdb, deletes: cow }',
        '  lake: { type: local, path: lake, publish: { path: r } }',
      ),
    },
    expected: [
      'sources.yaml:5:46  destinations.warehouse.deletes  unknown key; known: type, path, publish, memory_limit_mb, threads, parallel_loads',
      '      warehouse: { type: duckdb, path: w.duckdb, deletes: cow }',
      '                                                 ^',
      'sources.yaml:6:36  destinations.lake.publish  unknown key; known: type, format, path, deletes, cluster_by_key, target_file_mb, maintenance, work_path, cache_mb, memory_limit_mb, threads, parallel_loads',
      '      lake: { type: local, path: lake, publish: { path: r } }',
      '                                       ^',
    ],
  },
  {
    name: 'files that are always too small',
    parts: {
      destinations:
        '  warehouse: { type: local, path: lake, target_file_mb: 16, maintenance: { small_file_mb: 17, every: 0s } }',
    },
    expected: [
      'sources.yaml:5:91  destinations.warehouse.maintenance.small_file_mb  expected at most target_file_mb, which is 16, found 17',
      '      warehouse: { type: local, path: lake, target_file_mb: 16, maintenance: { small_file_mb: 17, every: 0s } }',
      '                                                                                              ^',
      'sources.yaml:5:102  destinations.warehouse.maintenance.every  expected at least 1s, found "0s"',
      '      warehouse: { type: local, path: lake, target_file_mb: 16, maintenance: { small_file_mb: 17, every: 0s } }',
      '                                                                                                         ^',
    ],
  },
  {
    name: 'two lakes in one place',
    parts: {
      destinations: lines(
        '  warehouse: { type: s3, bucket: b, prefix: shop/ }',
        '  again: { type: s3, bucket: b, prefix: /shop, work_path: w }',
        '  third: { type: local, path: lake, work_path: ./w }',
        '  fourth: { type: local, path: f, work_path: f }',
      ),
    },
    expected: [
      'sources.yaml:6:30  destinations.again.bucket  the same place as destination "warehouse"; let the sources share one entry',
      '      again: { type: s3, bucket: b, prefix: /shop, work_path: w }',
      '                                 ^',
      'sources.yaml:7:48  destinations.third.work_path  the same folder as of destination "again"; give each its own',
      '      third: { type: local, path: lake, work_path: ./w }',
      '                                                   ^',
      'sources.yaml:8:46  destinations.fourth.work_path  the working folder cannot be that of the tables; give another path',
      '      fourth: { type: local, path: f, work_path: f }',
      '                                                 ^',
    ],
  },
  {
    name: 'a folder that not every reader can read below',
    parts: { destinations: '  warehouse: { type: s3, bucket: b, prefix: "Žluť/a b" }' },
    expected: [
      'sources.yaml:5:45  destinations.warehouse.prefix  warning: some readers (polars, ClickHouse) cannot read tables below a folder whose name has other characters than A-Z a-z 0-9 . _ ~ -',
      '      warehouse: { type: s3, bucket: b, prefix: "Žluť/a b" }',
      '                                                ^',
    ],
  },
  {
    name: 'a copy onto the file itself',
    parts: { destinations: '  warehouse: { type: duckdb, path: w.duckdb, publish: { path: ./w.duckdb } }' },
    expected: [
      'sources.yaml:5:63  destinations.warehouse.publish.path  the copy cannot be the file itself; give another path',
      '      warehouse: { type: duckdb, path: w.duckdb, publish: { path: ./w.duckdb } }',
      '                                                                  ^',
    ],
  },
  {
    name: 'two destinations for one file',
    parts: {
      destinations: lines(
        '  warehouse: { type: duckdb, path: w.duckdb }',
        '  other: { type: duckdb, path: ./w.duckdb }',
      ),
    },
    expected: [
      'sources.yaml:6:32  destinations.other.path  the same file as destination "warehouse"; let the sources share one entry',
      '      other: { type: duckdb, path: ./w.duckdb }',
      '                                   ^',
    ],
  },
  {
    name: 'incremental without a cursor',
    parts: { tables: '      public.users: { method: incremental }' },
    expected: [
      'sources.yaml:11:7  sources.shop.tables["public.users"].cursor  required key is missing: method "incremental" needs the column that only grows',
      '          public.users: { method: incremental }',
      '          ^',
    ],
  },
  {
    name: 'append by default without a cursor',
    parts: { source: '    defaults: { method: append }' },
    expected: [
      'sources.yaml:12:7  sources.shop.tables["public.users"].cursor  required key is missing: method "append" needs the column that only grows',
      '          public.users: {}',
      '          ^',
    ],
  },
  {
    name: 'a cursor for cdc',
    parts: { tables: '      public.users: { cursor: id }' },
    expected: [
      'sources.yaml:11:23  sources.shop.tables["public.users"].cursor  only for method "incremental" or "append"; the method of this table is "cdc"',
      '          public.users: { cursor: id }',
      '                          ^',
    ],
  },
  {
    name: 'output and deletes without cdc',
    parts: { tables: '      public.users: { method: full_table, output: both, deletes: hard }' },
    expected: [
      'sources.yaml:11:43  sources.shop.tables["public.users"].output  only for method "cdc"; the method of this table is "full_table"',
      '          public.users: { method: full_table, output: both, deletes: hard }',
      '                                              ^',
      'sources.yaml:11:57  sources.shop.tables["public.users"].deletes  only for method "cdc"; the method of this table is "full_table"',
      '          public.users: { method: full_table, output: both, deletes: hard }',
      '                                                            ^',
    ],
  },
  {
    name: 'deletes for history alone',
    parts: { tables: '      public.users: { output: history, deletes: hard }' },
    expected: [
      'sources.yaml:11:40  sources.shop.tables["public.users"].deletes  only for output "consolidated" or "both"; history keeps every version',
      '          public.users: { output: history, deletes: hard }',
      '                                           ^',
    ],
  },
  {
    name: 'lookback and key for append',
    parts: { tables: '      public.users: { method: append, cursor: id, lookback: 1m, primary_key: [id] }' },
    expected: [
      'sources.yaml:11:51  sources.shop.tables["public.users"].lookback  only for method "incremental"; the method of this table is "append"',
      '          public.users: { method: append, cursor: id, lookback: 1m, primary_key: [id] }',
      '                                                      ^',
      'sources.yaml:11:65  sources.shop.tables["public.users"].primary_key  only for method "incremental"; the method of this table is "append"',
      '          public.users: { method: append, cursor: id, lookback: 1m, primary_key: [id] }',
      '                                                                    ^',
    ],
  },
  {
    name: 'include and exclude together',
    parts: { tables: '      public.users: { columns: { include: [id], exclude: [name] } }' },
    expected: [
      'sources.yaml:11:23  sources.shop.tables["public.users"].columns  expected either "include" or "exclude", found both',
      '          public.users: { columns: { include: [id], exclude: [name] } }',
      '                          ^',
    ],
  },
  {
    name: 'a decimal that is too long',
    parts: { tables: '      public.users: { types: { balance: "decimal(39,2)" } }' },
    expected: [
      'sources.yaml:11:41  sources.shop.tables["public.users"].types.balance  expected a precision from 1 to 38, found 39',
      '          public.users: { types: { balance: "decimal(39,2)" } }',
      '                                            ^',
    ],
  },
  {
    name: 'a scale beyond the precision',
    parts: { tables: '      public.users: { types: { balance: "decimal(4,5)" } }' },
    expected: [
      'sources.yaml:11:41  sources.shop.tables["public.users"].types.balance  expected a scale of at most the precision 4, found 5',
      '          public.users: { types: { balance: "decimal(4,5)" } }',
      '                                            ^',
    ],
  },
  {
    name: 'every and cron together',
    parts: { tables: '      public.users: { schedule: { every: 5m, cron: "* * * * *" } }' },
    expected: [
      'sources.yaml:11:23  sources.shop.tables["public.users"].schedule  expected either "every" or "cron", found both',
      '          public.users: { schedule: { every: 5m, cron: "* * * * *" } }',
      '                          ^',
    ],
  },
  {
    name: 'a time zone without cron',
    parts: { tables: '      public.users: { schedule: { every: 5m, timezone: UTC } }' },
    expected: [
      'sources.yaml:11:56  sources.shop.tables["public.users"].schedule.timezone  only together with "cron"',
      '          public.users: { schedule: { every: 5m, timezone: UTC } }',
      '                                                           ^',
    ],
  },
  {
    name: 'too few cron fields',
    parts: { tables: '      public.users: { schedule: { cron: "* * *" } }' },
    expected: [
      'sources.yaml:11:41  sources.shop.tables["public.users"].schedule.cron  not a cron expression: "* * *"; expected five fields (minute hour day month weekday), such as "*/10 * * * *"',
      '          public.users: { schedule: { cron: "* * *" } }',
      '                                            ^',
    ],
  },
  {
    name: 'a jitter as long as the interval',
    parts: { tables: '      public.users: { schedule: { every: 5m, jitter: 300s } }' },
    expected: [
      'sources.yaml:11:54  sources.shop.tables["public.users"].schedule.jitter  expected less than the interval, found "300s"',
      '          public.users: { schedule: { every: 5m, jitter: 300s } }',
      '                                                         ^',
    ],
  },
  {
    name: 'a cron minute out of range',
    parts: { tables: '      public.users: { schedule: { cron: "61 * * * *" } }' },
    expected: [
      'sources.yaml:11:41  sources.shop.tables["public.users"].schedule.cron  not a cron expression: "61 * * * *"; expected five fields (minute hour day month weekday), such as "*/10 * * * *"',
      '          public.users: { schedule: { cron: "61 * * * *" } }',
      '                                            ^',
    ],
  },
  {
    name: 'a cron that never fires',
    parts: { tables: '      public.users: { schedule: { cron: "0 0 30 2 *" } }' },
    expected: [
      'sources.yaml:11:41  sources.shop.tables["public.users"].schedule.cron  the schedule "0 0 30 2 *" never fires',
      '          public.users: { schedule: { cron: "0 0 30 2 *" } }',
      '                                            ^',
    ],
  },
  {
    name: 'a misspelled time zone',
    parts: { tables: '      public.users: { schedule: { cron: "0 2 * * *", timezone: Europe/Berln } }' },
    expected: [
      'sources.yaml:11:64  sources.shop.tables["public.users"].schedule.timezone  unknown time zone "Europe/Berln"; did you mean "Europe/Berlin"?',
      '          public.users: { schedule: { cron: "0 2 * * *", timezone: Europe/Berln } }',
      '                                                                   ^',
    ],
  },
  {
    name: 'a schedule of nothing',
    parts: { tables: '      public.users: { schedule: { every: 0s } }' },
    expected: [
      'sources.yaml:11:42  sources.shop.tables["public.users"].schedule.every  expected at least 1s, found "0s"',
      '          public.users: { schedule: { every: 0s } }',
      '                                             ^',
    ],
  },
  {
    name: 'a mistake in the defaults is reported once',
    parts: {
      source: '    defaults: { schedule: { every: 4000d } }',
      tables: lines('      public.a: {}', '      public.b: {}'),
    },
    expected: [
      'sources.yaml:10:36  sources.shop.defaults.schedule.every  expected at most 3650d, found "4000d"',
      '        defaults: { schedule: { every: 4000d } }',
      '                                       ^',
    ],
  },
  {
    name: 'a table key without a schema',
    parts: { tables: '      users: {}' },
    expected: [
      'sources.yaml:11:7  sources.shop.tables.users  expected schema.table or a pattern such as "billing.*"',
      '          users: {}',
      '          ^',
    ],
  },
  {
    name: 'a table key with too many parts',
    parts: { tables: '      shop.public.users: {}' },
    expected: [
      'sources.yaml:11:7  sources.shop.tables["shop.public.users"]  expected schema.table; put a name with a dot in it in double quotes',
      '          shop.public.users: {}',
      '          ^',
    ],
  },
  {
    name: 'a quote in the middle of a name',
    parts: { tables: "      'public.us\"ers': {}" },
    expected: [
      'sources.yaml:11:7  sources.shop.tables["public.us\\"ers"]  a double quote is not where a name begins or ends',
      "          'public.us\"ers': {}",
      '          ^',
    ],
  },
  {
    name: 'an empty name',
    parts: { tables: '      public.: {}' },
    expected: [
      'sources.yaml:11:7  sources.shop.tables["public."]  expected schema.table; a name is empty',
      '          public.: {}',
      '          ^',
    ],
  },
  {
    name: 'a name that Postgres would cut',
    parts: { tables: '      public.xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx: {}' },
    expected: [
      'sources.yaml:11:7  sources.shop.tables["public.xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"]  a name is longer than the 63 bytes that Postgres allows',
      '          public.xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx: {}',
      '          ^',
    ],
  },
  {
    name: 'one table under two keys',
    parts: { tables: lines('      public.users: {}', '      \'"public"."users"\': {}') },
    expected: [
      'sources.yaml:12:7  sources.shop.tables["\\"public\\".\\"users\\""]  the same table as "public.users"',
      '          \'"public"."users"\': {}',
      '          ^',
    ],
  },
  {
    name: 'a table in the place of a history',
    parts: { tables: lines('      public.users: { output: both }', '      public.users_cdc: { method: full_table }') },
    expected: [
      'sources.yaml:12:7  sources.shop.tables["public.users_cdc"]  lands in the same table as "public.users", whose history is named <table>_cdc or which differs in case only',
      '          public.users_cdc: { method: full_table }',
      '          ^',
    ],
  },
  {
    name: 'names that differ in case only',
    parts: { tables: lines('      public.users: {}', '      public.Users: {}') },
    expected: [
      'sources.yaml:12:7  sources.shop.tables["public.Users"]  lands in the same table as "public.users", whose history is named <table>_cdc or which differs in case only',
      '          public.Users: {}',
      '          ^',
    ],
  },
  {
    name: 'an unknown placeholder',
    parts: { source: '    target_schema: "{shema}_x"' },
    expected: [
      'sources.yaml:10:20  sources.shop.target_schema  unknown placeholder {shema}; did you mean "schema"?',
      '        target_schema: "{shema}_x"',
      '                       ^',
    ],
  },
  {
    name: 'a brace without its partner',
    parts: { source: '    target_schema: "{schema"' },
    expected: [
      'sources.yaml:10:20  sources.shop.target_schema  a brace has no partner; expected {schema} or {source} in it',
      '        target_schema: "{schema"',
      '                       ^',
    ],
  },
  {
    name: 'a reserved schema',
    parts: { source: '    target_schema: _sluice' },
    expected: [
      'sources.yaml:10:20  sources.shop.target_schema  the schema "_sluice" is reserved',
      '        target_schema: _sluice',
      '                       ^',
    ],
  },
  {
    name: 'a publication name that cannot be',
    parts: { source: '    cdc: { publication: "sluice pub" }' },
    expected: [
      'sources.yaml:10:25  sources.shop.cdc.publication  expected letters, digits and _, not starting with a digit, found "sluice pub"',
      '        cdc: { publication: "sluice pub" }',
      '                            ^',
    ],
  },
  {
    name: 'self_managed without a publication',
    parts: { source: '    cdc: { management: self_managed }' },
    expected: [
      'sources.yaml:10:5  sources.shop.cdc.publication  required key is missing: management "self_managed" names your publication',
      '        cdc: { management: self_managed }',
      '        ^',
    ],
  },
  {
    name: 'self_managed never drops a slot',
    parts: { source: '    cdc: { management: self_managed, publication: p, lag: { on_critical: drop_slot } }' },
    expected: [
      'sources.yaml:10:74  sources.shop.cdc.lag.on_critical  management "self_managed" always alerts; use alert, or leave it out',
      '        cdc: { management: self_managed, publication: p, lag: { on_critical: drop_slot } }',
      '                                                                             ^',
    ],
  },
  {
    name: 'a warning that comes after the alarm',
    parts: { source: '    cdc: { lag: { warning_mb: 20000 } }' },
    expected: [
      'sources.yaml:10:31  sources.shop.cdc.lag.warning_mb  expected warning_mb below critical_mb, found 20000 and 10240',
      '        cdc: { lag: { warning_mb: 20000 } }',
      '                                  ^',
    ],
  },
  {
    name: 'two sources share a slot',
    parts: {
      source: '    cdc: { slot: s1 }',
      more: lines(
        '  billing:',
        '    connection: shop_db',
        '    destination: warehouse',
        '    target_schema: b',
        '    cdc: { slot: s1 }',
        '    tables: { public.a: {} }',
      ),
    },
    expected: [
      'sources.yaml:17:18  sources.billing.cdc.slot  slot "s1" is used by source "shop" on the same server; each source needs its own',
      '        cdc: { slot: s1 }',
      '                     ^',
    ],
  },
  {
    name: 'two sources share a publication',
    parts: {
      source: '    cdc: { publication: p1 }',
      more: lines(
        '  billing:',
        '    connection: shop_db',
        '    destination: warehouse',
        '    target_schema: b',
        '    cdc: { publication: p1 }',
        '    tables: { public.a: {} }',
      ),
    },
    expected: [
      'sources.yaml:17:25  sources.billing.cdc.publication  publication "p1" is used by source "shop" in the same database; each source needs its own',
      '        cdc: { publication: p1 }',
      '                            ^',
    ],
  },
  {
    name: 'two sources fill one table',
    parts: {
      more: lines(
        '  billing:',
        '    connection: shop_db',
        '    destination: warehouse',
        '    tables: { public.users: { method: full_table } }',
      ),
    },
    expected: [
      'sources.yaml:15:15  sources.billing.tables["public.users"]  may land in the same table as "public.users" of source "shop"; give one of the sources a target_schema such as "{source}_{schema}"',
      '        tables: { public.users: { method: full_table } }',
      '                  ^',
    ],
  },
  {
    name: 'a pattern of one source may fill a table of another',
    parts: {
      more: lines(
        '  billing:',
        '    connection: shop_db',
        '    destination: warehouse',
        '    tables: { "pub*.*": { method: full_table } }',
      ),
    },
    expected: [
      'sources.yaml:15:15  sources.billing.tables["pub*.*"]  may land in the same table as "public.users" of source "shop"; give one of the sources a target_schema such as "{source}_{schema}"',
      '        tables: { "pub*.*": { method: full_table } }',
      '                  ^',
    ],
  },
  {
    name: 'a move to a table that is not there',
    parts: { more: 'moved: [{ from: "shop:public.people", to: "shop:public.persons" }]' },
    expected: [
      'sources.yaml:12:43  moved[0].to  this file has no table "shop:public.persons"',
      '    moved: [{ from: "shop:public.people", to: "shop:public.persons" }]',
      '                                              ^',
    ],
  },
  {
    name: 'a move of a table that is still there',
    parts: { more: 'moved: [{ from: "shop:public.users", to: "shop:public.users" }]' },
    expected: [
      'sources.yaml:12:17  moved[0].from  this file still has the table "shop:public.users"; what moved away must not stay',
      '    moved: [{ from: "shop:public.users", to: "shop:public.users" }]',
      '                    ^',
    ],
  },
  {
    name: 'a move of a table to a source',
    parts: { more: 'moved: [{ from: "shop:public.people", to: shop }]' },
    expected: [
      'sources.yaml:12:43  moved[0].to  expected a table, as "from" is one, found a source',
      '    moved: [{ from: "shop:public.people", to: shop }]',
      '                                              ^',
    ],
  },
  {
    name: 'a move of a slot',
    parts: { more: 'moved: [{ from: "shop:slot", to: shop }]' },
    expected: [
      'sources.yaml:12:17  moved[0].from  expected an address: source or source:schema.table, found "shop:slot"',
      '    moved: [{ from: "shop:slot", to: shop }]',
      '                    ^',
    ],
  },
  {
    name: 'one table moved twice',
    parts: {
      tables: lines('      public.a: {}', '      public.b: {}'),
      more: lines(
        'moved:',
        '  - { from: "shop:public.x", to: "shop:public.a" }',
        '  - { from: "shop:public.x", to: "shop:public.b" }',
      ),
    },
    expected: [
      'sources.yaml:15:13  moved[1].from  moved by moved[0] already',
      '      - { from: "shop:public.x", to: "shop:public.b" }',
      '                ^',
    ],
  },
  {
    name: 'a listen address without a port',
    parts: { more: 'daemon: { http: { listen: localhost } }' },
    expected: [
      'sources.yaml:12:27  daemon.http.listen  expected address:port, such as 127.0.0.1:8470 or [::1]:8470, found the text "localhost"',
      '    daemon: { http: { listen: localhost } }',
      '                              ^',
    ],
  },
  {
    name: 'a listen port out of range',
    parts: { more: 'daemon: { http: { listen: "[::1]:99999" } }' },
    expected: [
      'sources.yaml:12:27  daemon.http.listen  expected a port from 1 to 65535, found 99999',
      '    daemon: { http: { listen: "[::1]:99999" } }',
      '                              ^',
    ],
  },
  {
    name: 'many mistakes, in the order of the file',
    text: lines(
      'version: 2',
      'connections:',
      '  shop_db: { host: localhost, user: sluice, port: 0 }',
      'destinations:',
      '  warehouse: { type: duckdb, path: w.duckdb, thread: 2 }',
      'sources:',
      '  shop:',
      '    connection: shop_bd',
      '    destination: warehouse',
      '    tables:',
      '      public.users: { method: append, schedule: { cron: often } }',
      '      users: {}',
      '',
    ),
    expected: [
      'sources.yaml:1:10  version  expected 1, found 2',
      '    version: 2',
      '             ^',
      'sources.yaml:3:3  connections.shop_db.database  required key is missing (or a url that holds it)',
      '      shop_db: { host: localhost, user: sluice, port: 0 }',
      '      ^',
      'sources.yaml:3:51  connections.shop_db.port  expected a whole number from 1 to 65535, found 0',
      '      shop_db: { host: localhost, user: sluice, port: 0 }',
      '                                                      ^',
      'sources.yaml:5:46  destinations.warehouse.thread  unknown key; did you mean "threads"?',
      '      warehouse: { type: duckdb, path: w.duckdb, thread: 2 }',
      '                                                 ^',
      'sources.yaml:8:17  sources.shop.connection  no connection is called "shop_bd"; did you mean "shop_db"?',
      '        connection: shop_bd',
      '                    ^',
      'sources.yaml:11:7  sources.shop.tables["public.users"].cursor  required key is missing: method "append" needs the column that only grows',
      '          public.users: { method: append, schedule: { cron: often } }',
      '          ^',
      'sources.yaml:11:57  sources.shop.tables["public.users"].schedule.cron  not a cron expression: "often"; expected five fields (minute hour day month weekday), such as "*/10 * * * *"',
      '          public.users: { method: append, schedule: { cron: often } }',
      '                                                            ^',
      'sources.yaml:12:7  sources.shop.tables.users  expected schema.table or a pattern such as "billing.*"',
      '          users: {}',
      '          ^',
    ],
  },
];

test.each(MISTAKES)('$name', ({ parts, text, expected }) => {
  expect(problemsOf(text ?? withParts(parts ?? {})).split('\n')).toEqual(expected);
});

function lines(...all: string[]): string {
  return all.join('\n');
}
