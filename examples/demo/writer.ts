import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { openShop, SEED, type Shop } from './shop.js';

/**
 * The shop's daily business: one transaction after another on one connection. Every kind of change that a copy has to
 * get right comes up again and again: rows that change twice in a transaction, changed keys, rows that move to another
 * partition, cascades, large texts, transactions that are rolled back wholly or in part.
 */

/** About forty transactions a second on an idle machine. */
const PAUSE_MS = 20;
/** Once its story has begun, order 1 goes one step further each time that so many transactions have been tried. */
const STORY_EVERY = 30;
const STORY = ['paid', 'packed', 'shipped', 'delivered', 'returned', 'refunded'] as const;

type StoryStep = (typeof STORY)[number];

/** The order that is led through the states of STORY, so that there is a life to look at. */
export const STORY_ORDER = 1;

type Numbers = (below: number) => number;

/** Runs inside of a transaction, which is rolled back where this resolves to 'abandon'. */
type Act = (client: pg.Client, below: Numbers) => Promise<'commit' | 'abandon'>;

/** `weight`: how often it comes up, relative to the others. */
interface Deed {
  readonly weight: number;
  readonly act: Act;
}

export class Writer {
  readonly #client: pg.Client;
  readonly #stopping = new AbortController();
  readonly #below = numbersFrom(20_240_607);
  #done: Promise<void> = Promise.resolve();
  /** Transactions tried since the story began, null before. */
  #storyAge: number | null = null;
  #committed = 0;

  /** @param onFailure the writer stopped because Postgres refused something or went away */
  static async start(shop: Shop, onFailure: (error: unknown) => void): Promise<Writer> {
    const writer = new Writer(await openShop(shop));
    writer.#done = writer.#run().catch((error: unknown) => {
      if (!writer.#stopping.signal.aborted) onFailure(error);
    });
    return writer;
  }

  private constructor(client: pg.Client) {
    this.#client = client;
  }

  get committed(): number {
    return this.#committed;
  }

  /** From now on the order of the story is paid, packed, shipped and so on, about one step a second. */
  beginStory(): void {
    this.#storyAge = 0;
  }

  /** Ends after the transaction under way; may be called twice. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#done;
    await this.#client.end();
  }

  async #run(): Promise<void> {
    while (!this.#stopping.signal.aborted) {
      const step = this.#storyStep();
      await this.#transact(step === null ? chooseAct(this.#below) : (client) => leadStory(client, step));
      await sleep(PAUSE_MS, undefined, { signal: this.#stopping.signal }).catch(() => {});
    }
  }

  /** The step that is due, or null. */
  #storyStep(): StoryStep | null {
    if (this.#storyAge === null) return null;
    this.#storyAge += 1;
    return this.#storyAge % STORY_EVERY === 0 ? (STORY[this.#storyAge / STORY_EVERY - 1] ?? null) : null;
  }

  async #transact(act: Act): Promise<void> {
    await this.#client.query('begin');
    const end = await act(this.#client, this.#below);
    await this.#client.query(end === 'commit' ? 'commit' : 'rollback');
    if (end === 'commit') this.#committed += 1;
  }
}

async function leadStory(client: pg.Client, status: StoryStep): Promise<'commit'> {
  await client.query(
    `update orders set status = $1::order_status, delivered_at = case when $1::order_status = 'delivered' then clock_timestamp() else delivered_at end where id = $2`,
    [status, STORY_ORDER],
  );
  return 'commit';
}

const DEEDS: readonly Deed[] = [
  { weight: 6, act: placeOrder },
  { weight: 6, act: advanceOrder },
  { weight: 2, act: addCustomers },
  { weight: 1, act: deleteCustomer },
  { weight: 3, act: touchCustomer },
  { weight: 2, act: writeLongNote },
  { weight: 2, act: deleteOrder },
  { weight: 1, act: changeCustomerKey },
  { weight: 2, act: renumberLines },
  { weight: 4, act: logEvents },
  { weight: 1, act: moveEvents },
  { weight: 1, act: deleteEvents },
  { weight: 1, act: changePrices },
  { weight: 1, act: changeCountry },
  { weight: 1, act: abandonOrder },
  { weight: 1, act: undoInPart },
];

const TOTAL_WEIGHT = DEEDS.reduce((sum, deed) => sum + deed.weight, 0);

function chooseAct(below: Numbers): Act {
  let left = below(TOTAL_WEIGHT);
  for (const deed of DEEDS) {
    if (left < deed.weight) return deed.act;
    left -= deed.weight;
  }
  throw new Error('the weights do not add up');
}

/** Any order of the first ones but the one of the story. It may have been deleted meanwhile, which is as good. */
function someOrder(below: Numbers): number {
  return STORY_ORDER + 1 + below(SEED.orders - 1);
}

function someCustomer(below: Numbers): number {
  return 1 + below(SEED.customers);
}

/** Inserts an order and its items and then updates the same order. */
async function placeOrder(client: pg.Client, below: Numbers): Promise<'commit'> {
  const { rows } = await client.query<{ id: string }>(
    `insert into orders (customer_id, token, shipping)
     select id, gen_random_uuid(), jsonb_build_object('street', 'Road ' || $2::int, 'express', $2::int % 2 = 0)
     from customers where id >= $1 order by id limit 1 returning id`,
    [someCustomer(below), below(300)],
  );
  await client.query(
    `insert into order_items select $1, line, p.id, 1 + line, p.price, null
     from generate_series(1, $2::int) line join products p on p.id = 1 + (line * 31 + $3::int) % ${SEED.products}`,
    [rows[0]?.id, 1 + below(5), below(SEED.products)],
  );
  await client.query(
    'update orders set total = (select coalesce(sum(quantity * unit_price), 0) from order_items where order_id = $1) where id = $1',
    [rows[0]?.id],
  );
  return 'commit';
}

async function advanceOrder(client: pg.Client, below: Numbers): Promise<'commit'> {
  await client.query(
    `update orders set status = (enum_range(null::order_status))[1 + $2::int],
       delivered_at = case when $2::int = 4 then clock_timestamp() end where id = $1`,
    [someOrder(below), below(7)],
  );
  return 'commit';
}

async function addCustomers(client: pg.Client, below: Numbers): Promise<'commit'> {
  await client.query(
    `insert into customers (name, email, tags, born) select 'New ' || i, 'new@example.com', '{new}', date '2000-01-01' + i
     from generate_series(1, $1::int) i`,
    [1 + below(3)],
  );
  return 'commit';
}

/** The newest one that never ordered anything. */
async function deleteCustomer(client: pg.Client): Promise<'commit'> {
  await client.query(
    `delete from customers where id = (select max(id) from customers c
       where not exists (select from orders o where o.customer_id = c.id))`,
  );
  return 'commit';
}

/** Leaves `notes` alone: where they are long, the change comes without them. */
async function touchCustomer(client: pg.Client, below: Numbers): Promise<'commit'> {
  await client.query(
    `update customers set balance = balance - 1.37, tags = tags || $2::text,
       profile = coalesce(profile, '{}') || jsonb_build_object('visits', $3::int) where id = any ($1)`,
    [[40 * (1 + below(SEED.customers / 40)), someCustomer(below)], `t${below(50)}`, below(1_000)],
  );
  return 'commit';
}

async function writeLongNote(client: pg.Client, below: Numbers): Promise<'commit'> {
  await client.query(
    `update customers set notes = (select string_agg(md5($2::text || j), '') from generate_series(1, $3::int) j) where id = $1`,
    [someCustomer(below), String(below(1_000_000)), 200 + below(1_500)],
  );
  return 'commit';
}

/** The items go by cascade. */
async function deleteOrder(client: pg.Client, below: Numbers): Promise<'commit'> {
  await client.query('delete from orders where id = $1', [someOrder(below)]);
  return 'commit';
}

/** A new primary key; the customer's orders follow by cascade. */
async function changeCustomerKey(client: pg.Client, below: Numbers): Promise<'commit'> {
  await client.query(
    `update customers set id = nextval(pg_get_serial_sequence('customers', 'id')), active = true where id = $1`,
    [someCustomer(below)],
  );
  return 'commit';
}

/** Changes half of a key of two columns. */
async function renumberLines(client: pg.Client, below: Numbers): Promise<'commit'> {
  await client.query('update order_items set line_no = line_no + 100 where order_id = $1', [someOrder(below)]);
  return 'commit';
}

async function logEvents(client: pg.Client, below: Numbers): Promise<'commit'> {
  await client.query(
    `insert into events (happened_at, kind, customer_id, score, payload)
     select clock_timestamp(), 'view', $1::int + i, sqrt(i), json_build_object('n', i, 'text', 'größer "als"')
     from generate_series(1, $2::int) i`,
    [someCustomer(below), 5 + below(30)],
  );
  return 'commit';
}

/** The time is the partition key and part of the primary key. */
async function moveEvents(client: pg.Client, below: Numbers): Promise<'commit'> {
  const first = 1 + below(SEED.events);
  await client.query(`update events set happened_at = happened_at - interval '1 day' where id between $1 and $2`, [
    first,
    first + 5,
  ]);
  return 'commit';
}

async function deleteEvents(client: pg.Client, below: Numbers): Promise<'commit'> {
  const first = 1 + below(SEED.events);
  await client.query('delete from events where id between $1 and $2', [first, first + 20]);
  return 'commit';
}

async function changePrices(client: pg.Client, below: Numbers): Promise<'commit'> {
  await client.query(
    'update products set price = round(price * 1.01 + 0.01, 2), weight_kg = weight_kg / 3, changed_at = clock_timestamp() where id % 20 = $1',
    [below(20)],
  );
  return 'commit';
}

async function changeCountry(client: pg.Client, below: Numbers): Promise<'commit'> {
  await client.query(`update countries set vat_percent = $1 where code = 'FR'`, [15 + below(10)]);
  return 'commit';
}

/** Leaves a trace in the WAL and must leave none in the copy. */
async function abandonOrder(client: pg.Client, below: Numbers): Promise<'abandon'> {
  await placeOrder(client, below);
  await client.query('delete from order_items where order_id between $1 and $1 + 50', [someOrder(below)]);
  return 'abandon';
}

async function undoInPart(client: pg.Client, below: Numbers): Promise<'commit'> {
  await advanceOrder(client, below);
  await client.query('savepoint before_delete');
  await client.query('delete from order_items where product_id = $1', [1 + below(SEED.products)]);
  await client.query('rollback to savepoint before_delete');
  await touchCustomer(client, below);
  return 'commit';
}

/**
 * Whole numbers from 0 to below `limit`, the same ones in every run.
 * @see "Numerical Recipes", the quick generator: a linear congruence modulo 2^32, of which the upper bits are good
 */
function numbersFrom(seed: number): Numbers {
  let state = seed >>> 0;
  return (limit) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * limit);
  };
}
