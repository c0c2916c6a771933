import { describe, expect, test } from 'vitest';
import { fakeChange, fakePlan } from '../../test/fake/engine.js';
import { sampleTable } from '../state/sample-state.js';
import { readPlan, writePlan } from './plan-file.js';

const PLAN = fakePlan([fakeChange()], [{ address: 'shop', code: 'SLOT_IN_USE', message: 'held by pid 7', hint: null }]);

test('a plan comes back as it was written', () => {
  expect(readPlan(writePlan(PLAN), 'a.plan')).toEqual(PLAN);
});

describe('refuses', () => {
  const [change] = PLAN.changes;
  test.each<{ name: string; text: string; why: string }>([
    { name: 'no JSON', text: 'plan', why: 'it is not JSON' },
    { name: 'another kind of JSON', text: '[]', why: 'it has no format_version' },
    {
      name: 'a newer format',
      text: JSON.stringify({ ...PLAN, format_version: 2 }),
      why: 'its format version is 2, this Sluice reads 1',
    },
    { name: 'a plan without state', text: JSON.stringify({ ...PLAN, state: null }), why: '"state" is missing' },
    {
      name: 'a fractional serial',
      text: JSON.stringify({ ...PLAN, state: { lineage: 'x', serial: 1.5 } }),
      why: '"state" is missing',
    },
    { name: 'no hash', text: JSON.stringify({ ...PLAN, config_hash: undefined }), why: '"config_hash" is missing' },
    {
      name: 'half a summary',
      text: JSON.stringify({ ...PLAN, summary: { add: 1 } }),
      why: '"summary.change" is missing',
    },
    { name: 'no changes', text: JSON.stringify({ ...PLAN, changes: {} }), why: '"changes" is missing' },
    {
      name: 'an action it does not know',
      text: JSON.stringify({ ...PLAN, changes: [{ ...change, action: 'explode' }] }),
      why: 'changes[0]: unknown action "explode"',
    },
    {
      name: 'an action named like a property of every object',
      text: JSON.stringify({ ...PLAN, changes: [{ ...change, action: 'toString' }] }),
      why: 'changes[0]: unknown action "toString"',
    },
    {
      name: 'details that lack a field',
      text: JSON.stringify({ ...PLAN, changes: [{ ...change, details: { slot: 's', loads: {} } }] }),
      why: 'changes[0]: "details.publication" is missing',
    },
    {
      name: 'a schedule as Sluices wrote it before format 2 of the state',
      text: JSON.stringify({
        ...PLAN,
        changes: [
          {
            ...change,
            action: 'change_schedule',
            details: { from: { kind: 'every', everyMs: 1 }, to: { kind: 'every', everyMs: 2 } },
          },
        ],
      }),
      why: 'changes[0]: it has a schedule in another form than this Sluice knows',
    },
    {
      name: 'a table with such a schedule',
      text: JSON.stringify({
        ...PLAN,
        changes: [
          {
            ...change,
            action: 'create_table',
            details: { table: { ...sampleTable(), schedule: { kind: 'every', everyMs: 1 } } },
          },
        ],
      }),
      why: 'changes[0]: it has a schedule in another form than this Sluice knows',
    },
    {
      name: 'a blocker with a code it does not know',
      text: JSON.stringify({ ...PLAN, blockers: [{ address: 'a', code: 'NOPE', message: 'm', hint: null }] }),
      why: 'a blocker has the unknown code "NOPE"',
    },
  ])('$name', (c) =>
    expect(() => readPlan(c.text, 'a.plan')).toThrow(
      expect.objectContaining({ code: 'PLAN_UNREADABLE', message: `a.plan cannot be used as a plan: ${c.why}` }),
    ),
  );
});
