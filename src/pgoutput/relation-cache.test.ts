import { describe, expect, test } from 'vitest';
import { decodedColumn, observedType } from '../../test/pgoutput/columns.js';
import { OID } from '../source/type-oid.js';
import type { RelationColumn } from './message.js';
import { type KnownColumn, RelationCache } from './relation-cache.js';

const OID_OF_TABLE = 7;

/** Fields as the stream names them; `*` marks a key, `:int8` another type than int4. */
function fieldsOf(text: string): RelationColumn[] {
  return text.split(' ').map((field) => {
    const [name = '', type] = field.replace('*', '').split(':');
    return { name, key: field.includes('*'), typeOid: type === 'int8' ? OID.int8 : OID.int4, typmod: -1 };
  });
}

/** `1 a/b` is a column with attnum 1 that was called a and b. */
function knownOf(text: string): KnownColumn[] {
  return text.split(', ').map((column) => {
    const [attnum, names = ''] = column.split(' ');
    return { attnum: Number(attnum), names: names.split('/') };
  });
}

function bind(known: string, copied: readonly number[], relation: string): readonly number[] | string | null {
  const columns = knownOf(known);
  const cache = new RelationCache([
    {
      oid: OID_OF_TABLE,
      columns: copied.map((attnum) =>
        decodedColumn(columns.find((c) => c.attnum === attnum)?.names[0] ?? '', observedType('int4'), {
          kind: 'int32',
        }),
      ),
      keyColumns: [0],
      attnums: copied,
      known: columns,
    },
  ]);
  cache.set({ oid: OID_OF_TABLE, schema: 's', name: 't', identity: 'd', columns: fieldsOf(relation) });
  const bound = cache.get(OID_OF_TABLE);
  return bound?.mismatch ?? Array.from(bound?.fieldOf ?? []);
}

describe('the fields of a relation are found', () => {
  test.each([
    ['as they are', '1 id, 2 a, 3 b', [1, 2, 3], 'id* a b', [0, 1, 2]],
    ['with columns that are not copied', '1 id, 2 a, 3 b, 4 c', [1, 3], 'id* a b c', [0, 2]],
    ['under the old name', '1 id, 2 a/x, 3 b', [1, 2, 3], 'id* a b', [0, 1, 2]],
    ['under the new name', '1 id, 2 a/x, 3 b', [1, 2, 3], 'id* x b', [0, 1, 2]],
    ['under a new name of the key', '1 id/key, 2 a', [1, 2], 'key* a', [0, 1]],
    ['before two names were swapped', '1 id, 2 a/b, 3 b/a', [1, 2, 3], 'id* a b', [0, 1, 2]],
    ['after two names were swapped', '1 id, 2 a/b, 3 b/a', [1, 2, 3], 'id* b a', [0, 1, 2]],
    ['before a column of the old name was added', '1 id, 2 a/x, 3 b, 4 a', [1, 2, 3], 'id* a b', [0, 1, 2]],
    ['after a column of the old name was added', '1 id, 2 a/x, 3 b, 4 a', [1, 2, 3], 'id* x b a', [0, 1, 2]],
    ['before a dropped column went', '1 id, 2 gone, 3 b', [1, 3], 'id* gone b', [0, 2]],
    ['after a dropped column went', '1 id, 2 gone, 3 b', [1, 3], 'id* b', [0, 1]],
    ['before a column was added', '1 id, 2 a, 3 b', [1, 2, 3], 'id* a', [0, 1, -1]],
    ['with one that came and went unseen', '1 id, 2 a, 3 b', [1, 2, 3], 'id* a b strange', [0, 1, 2]],
  ])('%s', (_, known, copied, relation, expected) => {
    expect(bind(known, copied, relation)).toEqual(expected);
  });
});

describe('a relation is not guessed at', () => {
  test.each([
    [
      'when a column may have had a name that we never saw',
      '1 id, 2 a, 3 b',
      [1, 2, 3],
      'id* strange b',
      'column "a" is not sent, or was called something else for a while',
    ],
    [
      'when the last column may have had a name that we never saw',
      '1 id, 2 a, 3 b',
      [1, 2, 3],
      'id* a strange',
      'column "b" is not sent, or was called something else for a while',
    ],
    ['when a column in the middle is not published', '1 id, 2 a, 3 b', [1, 2, 3], 'id* b', 'column "a" is not sent'],
    ['when the key is not sent', '1 id, 2 a', [1, 2], 'a', 'column "id" is not sent'],
    [
      'when a dropped column and a later one share a name',
      '1 id, 2 a, 3 a',
      [1, 3],
      'id* a',
      'names were given from one column to another, and it cannot be told when',
    ],
    [
      'when its order is none that could have been',
      '1 id, 2 a, 3 b',
      [1, 2, 3],
      'b id* a',
      'its columns had names that no known shape of it has',
    ],
    ['when a type was another', '1 id, 2 a', [1, 2], 'id* a:int8', 'column "a" had another type for a while (oid 20)'],
    ['when the key was another', '1 id, 2 a', [1, 2], 'id* a*', 'its key was (id, a), not (id)'],
  ])('%s', (_, known, copied, relation, reason) => {
    expect(bind(known, copied, relation)).toBe(reason);
  });
});
