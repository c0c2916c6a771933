import { describe, expect, test } from 'vitest';
import { MemoryStore } from '../../test/pgoutput/memory-store.js';
import * as wire from '../../test/pgoutput/wire.js';
import { OID } from '../source/type-oid.js';
import { decodeMessage } from './decode-message.js';
import { type CommittedStream, TransactionAssembler } from './transaction-assembler.js';
import { XidSet } from './xid-set.js';

const COLUMNS = [{ name: 'id', key: true, oid: OID.int4 }] as const;
const relation = (oid: number, xid?: number): Buffer => wire.relation(oid, 'public', `t${oid}`, COLUMNS, 'd', xid);
const insert = (value: string, xid?: number): Buffer => wire.insert(7, [value], xid);

/** What a message is, in a word or two. */
function brief(bytes: Uint8Array, start: number, end: number): string {
  const message = decodeMessage(bytes, start, end);
  switch (message.kind) {
    case 'begin':
      return `begin ${message.xid} for ${message.finalLsn}`;
    case 'commit':
      return `commit ${message.commitLsn} to ${message.endLsn}`;
    case 'insert':
    case 'update': {
      const [value] = message.row;
      return `${message.kind} ${value?.kind === 'text' ? Buffer.from(value.bytes).toString() : value?.kind}`;
    }
    case 'relation':
      return `relation ${message.relation.oid}`;
    default:
      return message.kind;
  }
}

function start() {
  const log: string[] = [];
  const commits: string[] = [];
  const streamed: CommittedStream[] = [];
  const store = new MemoryStore();
  const note = (bytes: Uint8Array, from: number, to: number): unknown => log.push(brief(bytes, from, to));
  const assembler = new TransactionAssembler({
    store,
    onMessage: note,
    onCommit: (endLsn, rows) => commits.push(`${endLsn}: ${rows} rows`),
    onStreamed: (transaction) => {
      streamed.push(transaction);
      commits.push(`${transaction.endLsn}: ${transaction.rows} rows`);
      store.replay(transaction, note);
    },
  });
  // One buffer for all messages, as a socket has it; what lies around a message is no part of it.
  const reused = Buffer.alloc(4096);
  const push = (...messages: Buffer[]): void => {
    for (const message of messages) {
      reused.fill(0xee);
      reused.set(message, 9);
      assembler.push(reused, 9, 9 + message.length);
      expect(reused.subarray(9, 9 + message.length).equals(message), 'the bytes are left as they were').toBe(true);
    }
  };
  return { log, commits, streamed, store, assembler, push };
}

describe('ordinary transactions', () => {
  test('pass as they come', () => {
    const run = start();
    run.push(wire.begin(100n, 5n, 9), wire.origin(1n, 'elsewhere'), relation(7), insert('1'), insert('2'));
    expect(run.assembler.idle).toBe(false);
    run.push(wire.commit(100n, 150n, 5n));
    expect(run.assembler.idle).toBe(true);
    expect(run.log).toEqual(['begin 9 for 100', 'relation 7', 'insert 1', 'insert 2', 'commit 100 to 150']);
    expect(run.commits).toEqual(['150: 2 rows']);
  });
});

describe('streamed transactions', () => {
  test('come at their commit, whatever came between their blocks', () => {
    const run = start();
    run.push(wire.streamStart(20, true), relation(7, 20), insert('a', 20), insert('b', 21), wire.streamStop());
    run.push(wire.begin(90n, 5n, 8), relation(7), insert('first'), wire.commit(90n, 95n, 5n));
    run.push(wire.streamStart(30, true), relation(7, 30), insert('x', 30), wire.streamStop());
    run.push(wire.streamStart(20, false), insert('c', 20), wire.streamStop());
    expect(run.log).toEqual(['begin 8 for 90', 'relation 7', 'insert first', 'commit 90 to 95']);
    run.push(wire.streamCommit(20, 200n, 250n, 6n), wire.streamCommit(30, 260n, 270n, 6n));
    expect(run.log.slice(4)).toEqual([
      ...['begin 20 for 200', 'relation 7', 'insert a', 'insert b', 'insert c', 'commit 200 to 250'],
      ...['begin 30 for 260', 'relation 7', 'insert x', 'commit 260 to 270'],
    ]);
    expect(run.commits).toEqual(['95: 1 rows', '250: 3 rows', '270: 1 rows']);
    expect(run.store.size).toBe(0);
    expect(run.streamed[0]?.commitTs).toBe(946_684_800_000_006n);
  });

  test('lose the changes of subtransactions that were rolled back, but no description of a relation', () => {
    const run = start();
    run.push(wire.streamStart(20, true), insert('a', 20), relation(7, 21), insert('gone', 21), wire.streamStop());
    run.push(wire.streamAbort(20, 21));
    run.push(wire.streamStart(20, false), insert('gone too', 22), insert('b', 23), wire.streamStop());
    run.push(wire.streamAbort(20, 22), wire.streamCommit(20, 200n, 250n, 6n));
    expect(run.log).toEqual(['begin 20 for 200', 'insert a', 'relation 7', 'insert b', 'commit 200 to 250']);
  });

  test('that are rolled back leave nothing', () => {
    const run = start();
    run.push(wire.streamStart(20, true), insert('a', 20), wire.streamStop(), wire.streamAbort(20, 20));
    // The id of one that never came, of which nothing is known: there is nothing to remove.
    run.push(wire.streamAbort(77, 78), wire.streamAbort(77, 77));
    expect(run.log).toEqual([]);
    expect(run.store.size).toBe(0);
    expect(() => run.push(wire.streamCommit(20, 200n, 250n, 6n))).toThrow(/transaction 20, which never came/);
  });

  test('may hold every message that a transaction may', () => {
    const run = start();
    run.push(
      wire.streamStart(20, true),
      wire.origin(1n, 'elsewhere'),
      wire.typeMessage(99, 'public', 'mood', 20),
      relation(7, 20),
      wire.update(7, ['2'], { mark: 'K', row: ['1'] }, 20),
      wire.deletion(7, 'K', ['2'], 20),
      wire.truncate([7], 1, 20),
      wire.logicalMessage(1, 5n, 'prefix', Buffer.from('content'), 20),
      wire.streamStop(),
      wire.streamCommit(20, 200n, 250n, 6n),
    );
    expect(run.log).toEqual([
      ...['begin 20 for 200', 'type', 'relation 7', 'update 2', 'delete', 'truncate', 'message', 'commit 200 to 250'],
    ]);
  });
});

describe('what does not follow the protocol is refused', () => {
  const open = [wire.streamStart(20, true), insert('a', 20)];
  test.each<{ name: string; messages: readonly Buffer[]; says: RegExp }>([
    { name: 'an unknown code', messages: [Buffer.from('x?')], says: /"x" \(0x78\): unknown code/ },
    { name: 'an unknown code within a block', messages: [...open, Buffer.from([0x01])], says: /0x01: unknown code/ },
    { name: 'a prepared transaction (protocol 3)', messages: [Buffer.from('bxx')], says: /"b" \(0x62\): unknown code/ },
    { name: 'an empty message', messages: [Buffer.alloc(0)], says: /empty/ },
    { name: 'a change outside of a transaction', messages: [insert('1')], says: /outside of a transaction/ },
    { name: 'a commit without its begin', messages: [wire.commit(1n, 2n, 3n)], says: /outside of a transaction/ },
    {
      name: 'a begin within a transaction',
      messages: [wire.begin(1n, 2n, 3), wire.begin(1n, 2n, 3)],
      says: /transaction within/,
    },
    { name: 'a begin within a block', messages: [...open, wire.begin(1n, 2n, 3)], says: /within a streamed block/ },
    { name: 'a block within a block', messages: [...open, wire.streamStart(21, true)], says: /within a transaction/ },
    {
      name: 'a block within a transaction',
      messages: [wire.begin(1n, 2n, 3), wire.streamStart(2, true)],
      says: /within a/,
    },
    { name: 'a block that ends twice', messages: [...open, wire.streamStop(), wire.streamStop()], says: /not begun/ },
    { name: 'a second first block', messages: [...open, wire.streamStop(), wire.streamStart(20, true)], says: /first/ },
    { name: 'a next block without the first', messages: [wire.streamStart(20, false)], says: /next block/ },
    { name: 'a commit within a block', messages: [...open, wire.streamCommit(20, 1n, 2n, 3n)], says: /within another/ },
    { name: 'a rollback within a block', messages: [...open, wire.streamAbort(20, 20)], says: /within another/ },
    { name: 'a streamed change that is cut', messages: [...open, Buffer.from('I123')], says: /cut short/ },
  ])('$name', ({ messages, says }) => {
    const run = start();
    expect(() => run.push(...messages)).toThrow(expect.objectContaining({ code: 'PROTOCOL_VIOLATION' }));
    expect(() => start().push(...messages)).toThrow(says);
  });
});

test('a set of transaction ids keeps neighbours apart', () => {
  const set = new XidSet();
  const members = [0, 7, 8, 32_767, 32_768, 2 ** 31, 2 ** 32 - 1];
  for (const xid of members) set.add(xid);
  const asked = [...members, 1, 6, 9, 32_766, 32_769, 2 ** 31 + 1, 2 ** 31 - 1, 2 ** 32 - 2];
  expect(asked.filter((xid) => set.has(xid))).toEqual(members);
});
