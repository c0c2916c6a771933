import type { Destination } from './destination.js';
import type { Shop } from './shop.js';

/** The variable that the YAML takes the password from: the file itself holds no secret. */
export const PASSWORD_VARIABLE = 'SHOP_PASSWORD';

/** The column that the second version of the file leaves out. */
export const EXCLUDED = { table: 'customers', column: 'phone' } as const;

/** Tables of the file, without the schema; `products` joins with the edit. */
export const FIRST_TABLES = ['customers', 'orders', 'order_items', 'events', 'countries'] as const;
const ADDED_TABLE = 'products';

/** Tables with `output: both`: beside the current rows there is every version. */
export const WITH_HISTORY: readonly string[] = ['customers', 'orders'];

/** Everything else is read through the slot. */
export const FULL_TABLES: readonly string[] = ['countries'];

/** The file as the demo writes it first. */
export function firstSources(shop: Shop, destination: Destination): string {
  return `version: 1
connections:
  shop_db:
    host: ${shop.host}
    port: ${shop.port}
    database: ${shop.database}
    user: ${shop.reader.user}
    password: { env: ${PASSWORD_VARIABLE} }
    tls: { mode: disable } # for this machine alone; the default is verify-full
destinations:
  ${destination.line}
sources:
  shop:
    connection: shop_db
    destination: warehouse
    defaults: { method: cdc, schedule: { every: 1s } } # every 5m unless a file says otherwise
    tables:
      public.customers:
        output: both # the current rows and, in customers_cdc, every version of them
      public.orders:
        output: both
      public.order_items:
        deletes: hard # the default, soft, keeps deleted rows and marks them
      public.events: {} # partitioned in Postgres, one table here
      public.countries: { method: full_table, schedule: { every: 5s } }
`;
}

/** The lines of the edit: the one that each follows, and what comes after it. */
const EDIT: readonly { readonly after: string; readonly lines: readonly string[] }[] = [
  {
    after: '      public.customers:',
    lines: [`        columns: { exclude: [${EXCLUDED.column}] }`],
  },
  {
    after: '      public.events: {} # partitioned in Postgres, one table here',
    lines: [`      public.${ADDED_TABLE}: {}`],
  },
];

export interface EditedSources {
  readonly text: string;
  /** The new lines, each below the line that it follows, in the manner of a diff. */
  readonly diff: readonly { readonly mark: ' ' | '+'; readonly text: string }[];
}

/** Adds a table and leaves a column out. */
export function editedSources(first: string): EditedSources {
  const lines = first.split('\n');
  const diff: { mark: ' ' | '+'; text: string }[] = [];
  for (const { after, lines: added } of EDIT) {
    const place = lines.indexOf(after);
    if (place === -1) throw new Error(`the file has no line "${after}"`);
    lines.splice(place + 1, 0, ...added);
    diff.push({ mark: ' ', text: after }, ...added.map((text) => ({ mark: '+' as const, text })));
  }
  return { text: lines.join('\n'), diff };
}
