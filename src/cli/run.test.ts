import { describe, expect, test } from 'vitest';
import { FakeClock } from '../../test/fake/clock.js';
import {
  EMPTY_STATUS,
  FAKE_HOST,
  type FakeAnswers,
  FakeEngine,
  fakeChange,
  fakeConfig,
  fakePlan,
} from '../../test/fake/engine.js';
import { type FakeTerminal, fakeTerminal } from '../../test/fake/terminal.js';
import { SluiceError } from '../error/sluice-error.js';
import type { ConfigReading } from './command.js';
import { COMMANDS } from './commands/all.js';
import { runCli } from './run.js';

const HOUR = { kind: 'every', everyMs: 3_600_000 } as const;

interface Setting extends FakeAnswers {
  readonly answers?: readonly (string | null)[];
  readonly files?: Readonly<Record<string, string>>;
  readonly config?: ConfigReading;
  readonly signal?: AbortSignal;
  /** Writes to stdout. */
  readonly readerLeavesAfter?: number;
}

interface Ran {
  readonly exit: number;
  readonly stdout: string;
  readonly stderr: string;
  readonly calls: readonly string[];
  readonly terminal: FakeTerminal;
  readonly written: Readonly<Record<string, string>>;
}

async function run(argv: readonly string[], setting: Setting = {}): Promise<Ran> {
  const terminal = fakeTerminal(setting.answers ?? null);
  terminal.stdout.readerLeavesAfter = setting.readerLeavesAfter ?? Number.POSITIVE_INFINITY;
  const written: Record<string, string> = {};
  const config: ConfigReading = setting.config ?? {
    ok: true,
    config: fakeConfig({ shop: [HOUR] }),
    warnings: [],
    warningText: '',
  };
  let engine: FakeEngine | undefined;
  const exit = await runCli(
    argv,
    {
      commands: COMMANDS,
      version: '1.2.3',
      terminal,
      clock: new FakeClock(),
      host: FAKE_HOST,
      files: {
        readText: async (path) => {
          const text = setting.files?.[path];
          if (text === undefined) throw new Error(`ENOENT: no such file or directory, open '${path}'`);
          return text;
        },
        writeText: async (path, text) => {
          if (path.startsWith('missing/')) throw new Error(`ENOENT: no such file or directory, open '${path}'`);
          written[path] = text;
        },
        replaceText: async (path, text) => {
          written[path] = text;
        },
        createText: async (path, text) => {
          written[path] = text;
        },
      },
      readSchema: async () => '{"title":"sources"}',
      readConfig: async () => config,
      readBaseConfig: async () => null,
      checkConfig: async () => config,
      openInterview: null,
      readStateConfig: async () => config,
      createEngine: async (deps) => {
        engine = new FakeEngine(deps, setting);
        return engine;
      },
      onHangup: () => () => undefined,
      openLog: async () => ({
        debug: () => undefined,
        info: () => undefined,
        warn: () => undefined,
        error: () => undefined,
      }),
    },
    setting.signal ?? new AbortController().signal,
  );
  return {
    exit,
    stdout: terminal.stdout.text,
    stderr: terminal.stderr.text,
    calls: engine?.calls ?? [],
    terminal,
    written,
  };
}

const unreachable = {
  code: 'SOURCE_UNREACHABLE',
  message: 'nothing answers at db:5432',
  hint: 'start the server',
  cause: 'connect ECONNREFUSED 10.0.0.1:5432',
} as const;
const failsWith = (): never => {
  throw new SluiceError(unreachable);
};

describe('exit codes', () => {
  const change = fakeChange();
  const blocked = fakePlan(
    [change],
    [{ address: 'shop', code: 'SOURCE_LOGIN_REFUSED', message: 'refused', hint: null }],
  );
  const failedTable = {
    address: 'shop:public.t1',
    kind: 'snapshot',
    status: 'failed',
    rows: 0,
    inserted: 0,
    updated: 0,
    deleted: 0,
    rejected: 0,
    durationMs: 3,
    error: { code: 'TABLE_MISSING', message: 'public.t1 does not exist' },
  } as const;
  const verdict = {
    address: 'shop:public.t1',
    method: 'cdc',
    status: 'not_compared',
    snapshotAt: null,
    snapshotLsn: null,
    sample: null,
    comparisons: [],
    rejectedValues: 0,
    notes: [],
    durationMs: 5,
    error: null,
  } as const;
  const source = {
    source: 'shop',
    transactions: 0,
    changes: 0,
    confirmedLsn: null,
    drift: [],
    newColumns: [],
    durationMs: 4,
    lag: null,
    error: null,
    tables: [],
  };
  test.each<{ name: string; argv: string[]; setting?: Setting; exit: number }>([
    { name: 'help', argv: ['--help'], exit: 0 },
    { name: 'no command', argv: [], exit: 64 },
    { name: 'unknown option', argv: ['ls', '--nope'], exit: 64 },
    { name: 'a form that the command has not', argv: ['ls', '--format', 'csv'], exit: 64 },
    { name: 'plan without changes', argv: ['plan', '--detailed-exitcode'], exit: 0 },
    { name: 'plan with changes', argv: ['plan'], setting: { plan: () => fakePlan([change]) }, exit: 0 },
    {
      name: 'plan --detailed-exitcode',
      argv: ['plan', '--detailed-exitcode'],
      setting: { plan: () => fakePlan([change]) },
      exit: 2,
    },
    {
      name: 'a blocked plan has its blocker',
      argv: ['plan', '--detailed-exitcode'],
      setting: { plan: () => blocked },
      exit: 69,
    },
    { name: 'a plan file that is not there', argv: ['show', 'a.plan'], exit: 1 },
    { name: 'a plan that cannot be written', argv: ['plan', '--out', 'missing/a.plan'], exit: 1 },
    { name: 'server out of reach', argv: ['plan'], setting: { plan: failsWith }, exit: 69 },
    { name: 'apply of a blocked plan', argv: ['apply', '--yes'], setting: { plan: () => blocked }, exit: 69 },
    { name: 'apply without consent', argv: ['apply'], setting: { plan: () => fakePlan([change]) }, exit: 64 },
    { name: 'apply without changes needs none', argv: ['apply'], exit: 0 },
    {
      name: 'apply that failed in part',
      argv: ['apply', '--yes'],
      setting: {
        plan: () => fakePlan([change, fakeChange({ address: 'crm:slot' })]),
        apply: (plan) =>
          plan.changes.map((each, index) =>
            index === 0
              ? { change: each, status: 'failed', error: unreachable }
              : { change: each, status: 'applied', durationMs: 1 },
          ),
      },
      exit: 1,
    },
    { name: 'resync without consent', argv: ['resync', 'shop:public.t1'], exit: 64 },
    { name: 'verify of tables that are equal', argv: ['verify'], exit: 0 },
    {
      name: 'verify that found differences, beside a table that it could not compare',
      argv: ['verify', '--sample', '1%'],
      setting: {
        verify: () => ({
          ok: false,
          tables: [
            { ...verdict, error: unreachable },
            { ...verdict, status: 'different' },
          ],
        }),
      },
      exit: 1,
    },
    {
      name: 'verify of a server out of reach',
      argv: ['verify'],
      setting: { verify: () => ({ ok: false, tables: [{ ...verdict, error: unreachable }] }) },
      exit: 69,
    },
    { name: 'sync that went well', argv: ['sync'], exit: 0 },
    {
      name: 'sync with a failed table',
      argv: ['sync'],
      setting: { sync: () => ({ ok: false, sources: [{ ...source, tables: [failedTable] }] }) },
      exit: 1,
    },
    {
      name: 'sync with a source out of reach',
      argv: ['sync'],
      setting: { sync: () => ({ ok: false, sources: [{ ...source, error: unreachable }] }) },
      exit: 69,
    },
    { name: 'config with mistakes', argv: ['status'], setting: { config: refused() }, exit: 78 },
    { name: 'validate with mistakes', argv: ['validate'], setting: { config: refused() }, exit: 78 },
    { name: 'validate', argv: ['validate'], exit: 0 },
    {
      name: 'doctor with an error',
      argv: ['doctor'],
      setting: {
        doctor: () => [
          {
            level: 'error',
            code: 'WAL_LEVEL',
            address: 'shop',
            message: 'm',
            why: 'w',
            fixSql: null,
            needsRestart: true,
          },
        ],
      },
      exit: 1,
    },
  ])('$name', async (c) => expect((await run(c.argv, c.setting)).exit).toBe(c.exit));
});

function refused(): ConfigReading {
  return {
    ok: false,
    problems: [{ line: 2, message: 'unknown key' }],
    mistakes: 1,
    text: 'sources.yaml:2:1  nope  unknown key',
  };
}

describe('errors', () => {
  test('for people: one block on stderr, nothing on stdout', async () => {
    const ran = await run(['status'], { status: failsWith });
    expect(ran.stdout).toBe('');
    expect(ran.stderr).toMatchInlineSnapshot(`
      "error SOURCE_UNREACHABLE: nothing answers at db:5432
        cause: connect ECONNREFUSED 10.0.0.1:5432
        hint:  start the server
      "
    `);
  });

  test('as JSON: a document on stdout', async () => {
    const ran = await run(['status', '--format', 'json'], { status: failsWith });
    expect(ran.stderr).toBe('');
    expect(JSON.parse(ran.stdout)).toEqual({ format_version: 1, error: unreachable });
  });

  test('of the command line are told in the format that it asks for', async () => {
    const ran = await run(['status', '--nope', '--format=json']);
    expect(JSON.parse(ran.stdout)).toMatchObject({ format_version: 1, error: { code: 'USAGE' } });
  });

  test('no stack trace, unless --debug', async () => {
    expect((await run(['status'], { status: failsWith })).stderr).not.toContain('run.test.ts');
    expect((await run(['status', '--debug'], { status: failsWith })).stderr).toContain('run.test.ts');
  });

  test('a config with mistakes shows each with its place', async () => {
    const ran = await run(['plan'], { config: refused() });
    expect(ran.stderr).toMatchInlineSnapshot(`
      "error CONFIG_INVALID: sources.yaml has a mistake
      sources.yaml:2:1  nope  unknown key
      "
    `);
  });

  test('validate --format json lists the problems', async () => {
    const ran = await run(['validate', '--format', 'json'], { config: refused() });
    expect(JSON.parse(ran.stdout)).toMatchObject({
      format_version: 1,
      valid: false,
      problems: [{ line: 2 }],
      warnings: [],
      error: { code: 'CONFIG_INVALID' },
    });
  });

  test('what fails after a signal is told as the stop', async () => {
    const controller = new AbortController();
    const ran = await run(['sync'], {
      signal: controller.signal,
      sync: () => {
        controller.abort(new SluiceError({ code: 'CANCELLED', message: 'stopped by SIGTERM' }));
        throw new SluiceError({ code: 'SOURCE_CONNECTION_LOST', message: 'the connection broke' });
      },
    });
    expect(ran.exit).toBe(1);
    expect(ran.stderr).toContain('error CANCELLED: stopped by SIGTERM');
    expect(ran.calls.at(-1)).toBe('close');
  });

  test('the engine is closed after a failure', async () => {
    expect((await run(['status'], { status: failsWith })).calls).toEqual(['status', 'close']);
  });
});

describe('apply', () => {
  const two = () => fakePlan([fakeChange(), fakeChange({ destructive: true, address: 'shop:public.users' })]);
  const withEvents: Setting['apply'] = (plan, deps) => {
    const results = plan.changes.map((change) => ({ change, status: 'applied', durationMs: 5 }) as const);
    for (const result of results) deps.onEvent({ kind: 'change_ended', result });
    return results;
  };

  test('asks, names what is destructive again, and shows each outcome', async () => {
    const ran = await run(['apply'], { plan: two, apply: withEvents, answers: ['yes'] });
    expect(ran.exit).toBe(0);
    expect(ran.terminal.questions).toEqual([
      'Destructive:\n  shop:public.users  create replication slot sluice_shop  (cdc tables need it)\nApply these 2 changes? yes/no: ',
    ]);
    expect(ran.stderr).toBe(
      'applied  shop:slot  create replication slot sluice_shop  (5 ms)\napplied  shop:public.users  create replication slot sluice_shop  (5 ms)\n',
    );
    expect(ran.stdout).toContain('Applied 2 of 2 changes.');
    expect(ran.calls).toEqual(['plan', 'apply plan-1', 'close']);
  });

  test.each<{ name: string; answer: string | null }>([
    { name: 'no', answer: 'no' },
    { name: 'an empty line', answer: '' },
    { name: 'the end of the input', answer: null },
  ])('$name changes nothing', async ({ answer }) => {
    const ran = await run(['apply'], { plan: two, answers: [answer] });
    expect(ran.exit).toBe(1);
    expect(ran.stderr).toContain('error CANCELLED: not confirmed; nothing was changed');
    expect(ran.calls).toEqual(['plan', 'close']);
  });

  test('--yes does not ask; --sync runs what is due', async () => {
    const ran = await run(['apply', '--yes', '--sync'], { plan: two });
    expect(ran.calls).toEqual(['plan', 'apply plan-1', 'sync all', 'close']);
  });

  test('a saved plan is applied as it is, without a question', async () => {
    const saved = await run(['plan', '--out', 'a.plan'], { plan: two });
    expect(saved.stdout).toContain('Saved to a.plan');
    const ran = await run(['apply', 'a.plan'], { files: saved.written });
    expect(ran.exit).toBe(0);
    expect(ran.stdout).toBe('Applied 2 of 2 changes.\n');
    expect(ran.calls).toEqual(['apply plan-1', 'close']);
  });

  test('as JSON: one document with plan, results and sync', async () => {
    const ran = await run(['apply', '--yes', '--sync', '--format', 'json'], { plan: two });
    const document: unknown = JSON.parse(ran.stdout);
    expect(document).toMatchObject({
      format_version: 1,
      plan: { id: 'plan-1' },
      results: [
        { action: 'create_slot', address: 'shop:slot', status: 'applied', duration_ms: 5 },
        { address: 'shop:public.users', status: 'applied' },
      ],
      sync: { ok: true, sources: [] },
    });
  });

  test('without a terminal the plan is shown and refused', async () => {
    const ran = await run(['apply'], { plan: two });
    expect(ran.stdout).toContain('shop:public.users');
    expect(ran.stderr).toContain('error CONSENT_NEEDED: apply needs consent, and there is no terminal to ask on');
    expect(ran.calls).toEqual(['plan', 'close']);
  });
});

describe('status --watch', () => {
  test.each(['human', 'json'])('as %s without a terminal is refused', async (format) => {
    const ran = await run(['status', '--watch', '--format', format]);
    expect(ran.exit).toBe(64);
    expect(`${ran.stdout}${ran.stderr}`).toContain('sluice status --watch --format ndjson');
    expect(ran.calls).toEqual([]);
  });

  test('as NDJSON: a document at every look, then the end', async () => {
    const stop = new AbortController();
    let looks = 0;
    const status = () => {
      looks += 1;
      if (looks === 3) stop.abort(new SluiceError({ code: 'CANCELLED', message: 'stopped by SIGINT' }));
      return EMPTY_STATUS;
    };
    const ran = await run(['status', '--watch', '--format', 'ndjson'], { status, signal: stop.signal });
    const events = ran.stdout
      .trimEnd()
      .split('\n')
      .map((line): { event: string } => JSON.parse(line));
    expect(events.map(({ event }) => event)).toEqual(['status_seen', 'status_seen', 'status_seen', 'ended']);
    expect(events[0]).toMatchObject({ state: { serial: 3 }, sources: [], lock: null, daemon: null });
    expect(ran.calls.at(-1)).toBe('close');
  });

  test('as NDJSON ends when nobody reads it any more', async () => {
    const ran = await run(['status', '--watch', '--format', 'ndjson'], { readerLeavesAfter: 2 });
    expect(ran.exit).toBe(0);
    expect(ran.calls).toEqual(['status', 'status', 'close']);
  });
});

test.each([['plan'], ['show', 'a.plan']])('%s: --max-bytes of a form that is never cut is refused', async (...argv) => {
  const ran = await run([...argv, '--max-bytes', '600']);
  expect(ran.exit).toBe(64);
  expect(ran.stderr).toContain('--max-bytes cuts the Markdown form, and this is the human form');
  expect(ran.calls).toEqual([]);
});

describe('other commands', () => {
  test.each<{ name: string; argv: string[]; answers?: readonly string[]; calls: string[]; stdout: string }>([
    {
      name: 'resync after a yes',
      argv: ['resync', 'shop:public.t1'],
      answers: ['y'],
      calls: ['resync shop:public.t1', 'close'],
      stdout: 'queued  shop:public.t1\nTo run it now: sluice sync\n',
    },
    {
      name: 'cdc setup-sql of every source with cdc tables',
      argv: ['cdc', 'setup-sql'],
      calls: ['setupSql shop', 'close'],
      stdout: '-- source shop\ncreate publication sluice_pub_shop;\n',
    },
    {
      name: 'query as csv',
      argv: ['query', 'select 42', '--format', 'csv'],
      calls: ['query - select 42', 'close'],
      stdout: 'n\r\n42\r\n\r\n',
    },
    { name: 'version', argv: ['version'], calls: [], stdout: 'sluice 1.2.3\n' },
    { name: 'schema', argv: ['schema'], calls: [], stdout: '{"title":"sources"}\n' },
    {
      name: 'validate',
      argv: ['validate'],
      calls: [],
      stdout: 'sources.yaml is valid: 1 source, 1 table entry, 1 destination\n',
    },
  ])('$name', async (c) => {
    const ran = await run(c.argv, c.answers === undefined ? {} : { answers: c.answers });
    expect({ exit: ran.exit, calls: ran.calls, stdout: ran.stdout, stderr: ran.stderr }).toEqual({
      exit: 0,
      calls: c.calls,
      stdout: c.stdout,
      stderr: '',
    });
  });

  test('warnings of the config go to stderr', async () => {
    const ran = await run(['ls'], {
      config: {
        ok: true,
        config: fakeConfig(),
        warnings: [{}],
        warningText: 'sources.yaml:3:1  warning: plain password',
      },
    });
    expect(ran.stderr).toBe('sources.yaml:3:1  warning: plain password\n');
    expect(ran.stdout).toBe('No tables.\n');
  });
});
