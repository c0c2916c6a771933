import fc from 'fast-check';

/**
 * A random table and what happens to it: rows that come, change and go between ALTER TABLEs of every kind that is
 * followed, and syncs and applies in between. Each step is one SQL text, made from the columns as they are by then.
 */

export type Step =
  | { readonly kind: 'sql'; readonly sql: string }
  | { readonly kind: 'sync' }
  | { readonly kind: 'apply' };

type ColumnType = 'smallint' | 'int' | 'bigint' | 'numeric(6,2)' | 'numeric(12,4)' | 'varchar(40)' | 'text' | 'boolean';

interface Column {
  name: string;
  type: ColumnType;
}

/** Types and what they may be altered to without a USING. */
const WIDER: Readonly<Record<ColumnType, readonly ColumnType[]>> = {
  smallint: ['int', 'bigint'],
  int: ['bigint'],
  bigint: [],
  'numeric(6,2)': ['numeric(12,4)'],
  'numeric(12,4)': [],
  'varchar(40)': ['text'],
  text: [],
  boolean: [],
};
const TYPES: readonly ColumnType[] = ['smallint', 'int', 'numeric(6,2)', 'varchar(40)', 'text', 'boolean'];
const KEYS = 12;

/** Picks numbers one at a time, so that each step can look at the table as it is by then. */
export interface Dice {
  below(bound: number): number;
}

export class AlteredTable {
  readonly #dice: Dice;
  #columns: Column[] = [
    { name: 'a', type: 'int' },
    { name: 'b', type: 'varchar(40)' },
    { name: 'c', type: 'numeric(6,2)' },
  ];
  #key = 'id';
  #names = 0;

  constructor(dice: Dice) {
    this.#dice = dice;
  }

  static readonly setup =
    "create table t (id int primary key, a int, b varchar(40), c numeric(6,2)); insert into t select i, i, 'row ' || i, i from generate_series(1, 6) i";

  steps(count: number): Step[] {
    return Array.from({ length: count }, () => this.#step());
  }

  #step(): Step {
    const choice = this.#dice.below(20);
    if (choice < 3) return { kind: 'sync' };
    if (choice === 3) return { kind: 'apply' };
    if (choice < 11) return { kind: 'sql', sql: this.#change() };
    return { kind: 'sql', sql: this.#alter() };
  }

  #change(): string {
    const id = this.#dice.below(KEYS) + 1;
    const set = this.#columns.map((column) => `${column.name} = ${this.#value(column)}`);
    switch (this.#dice.below(6)) {
      case 0:
      case 1: {
        const names = [this.#key, ...this.#columns.map((column) => column.name)];
        const values = [String(id), ...this.#columns.map((column) => this.#value(column))];
        const updates = set.length === 0 ? 'nothing' : `update set ${set.join(', ')}`;
        return `insert into t (${names.join(', ')}) values (${values.join(', ')}) on conflict (${this.#key}) do ${updates}`;
      }
      case 2:
        return set.length === 0 ? 'select 1' : `update t set ${set.join(', ')} where ${this.#key} % 3 = ${id % 3}`;
      case 3: {
        const [first] = this.#columns;
        return first === undefined
          ? 'select 1'
          : `update t set ${first.name} = ${this.#value(first)} where ${this.#key} = ${id}`;
      }
      case 4:
        return `delete from t where ${this.#key} = ${id}`;
      default:
        return `update t set ${this.#key} = ${KEYS + id} where ${this.#key} = ${id} and not exists (select from t where ${this.#key} = ${KEYS + id})`;
    }
  }

  #alter(): string {
    const column = this.#columns[this.#dice.below(Math.max(1, this.#columns.length))];
    switch (this.#dice.below(10)) {
      case 0:
      case 1: {
        const type = TYPES[this.#dice.below(TYPES.length)] ?? 'int';
        const added = { name: this.#freshName(), type };
        this.#columns.push(added);
        const filled = this.#dice.below(2) === 0 ? ` default ${this.#value(added)}` : '';
        return `alter table t add column ${added.name} ${type}${filled}`;
      }
      case 2:
        if (column === undefined || this.#columns.length < 2) return this.#change();
        this.#columns = this.#columns.filter((other) => other !== column);
        return `alter table t drop column ${column.name}`;
      case 3:
      case 4: {
        if (column === undefined) return this.#change();
        const was = column.name;
        column.name = this.#freshName();
        return `alter table t rename column ${was} to ${column.name}`;
      }
      case 5:
      case 6: {
        const wider = column === undefined ? [] : WIDER[column.type];
        const type = wider[this.#dice.below(Math.max(1, wider.length))];
        if (column === undefined || type === undefined) return this.#change();
        column.type = type;
        return `alter table t alter column ${column.name} type ${type}`;
      }
      case 7: {
        // From varchar this would look like a mere widening, which nobody can tell from one with other values.
        if (column === undefined || WIDER[column.type].includes('text') || column.type === 'text')
          return this.#change();
        column.type = 'text';
        return `alter table t alter column ${column.name} type text using ${column.name}::text || '!'`;
      }
      case 8: {
        const [first, second] = this.#columns;
        if (first === undefined || second === undefined) return this.#change();
        [first.name, second.name] = [second.name, first.name];
        return `begin; alter table t rename column ${second.name} to swapping; alter table t rename column ${first.name} to ${second.name}; alter table t rename column swapping to ${first.name}; commit`;
      }
      default: {
        if (this.#dice.below(3) > 0) return 'truncate t';
        const was = this.#key;
        this.#key = was === 'id' ? 'uid' : 'id';
        return `alter table t rename column ${was} to ${this.#key}`;
      }
    }
  }

  /** Now and then one that a dropped or renamed column had before. */
  #freshName(): string {
    const old = ['a', 'b', 'c'].filter((name) => !this.#columns.some((column) => column.name === name));
    const reused = this.#dice.below(3) === 0 ? old[0] : undefined;
    this.#names += 1;
    return reused ?? `n${this.#names}`;
  }

  #value({ type }: Column): string {
    const number = this.#dice.below(9_000);
    if (number % 7 === 0) return 'null';
    switch (type) {
      case 'smallint':
        return String(number);
      case 'int':
        return String(number * 100_000);
      case 'bigint':
        return String(number * 10_000_000_000);
      case 'numeric(6,2)':
        return `${number}.25`;
      case 'numeric(12,4)':
        return `${number}.1234`;
      case 'varchar(40)':
      case 'text':
        return `'text ${number}'`;
      case 'boolean':
        return number % 2 === 0 ? 'true' : 'false';
    }
  }
}

/** The same numbers again for the same seed. */
export function diceOf(seed: number): Dice {
  const [numbers = []] = fc.sample(fc.array(fc.nat(), { minLength: 2_000, maxLength: 2_000 }), { seed, numRuns: 1 });
  let next = 0;
  return {
    below: (bound) => {
      const number = numbers[next % numbers.length] ?? 0;
      next += 1;
      return number % bound;
    },
  };
}
