import { expect, test } from 'vitest';
import { fakeChange, fakePlan } from '../../test/fake/engine.js';
import type { Config } from '../config/config.js';
import type { Blocker, Plan } from '../planner/change.js';
import { type AutoApply, autoApply } from './auto-apply.js';

const additive = fakeChange();
const destructive = fakeChange({ destructive: true, address: 'shop:public.users' });
const blocker: Blocker = { address: 'shop', code: 'SOURCE_UNREACHABLE', message: 'nothing answers', hint: null };

test.each<{
  name: string;
  plan: Plan;
  setting: Config['daemon']['autoApply'];
  halted?: readonly string[];
  kind: AutoApply['kind'];
  waiting?: number;
}>([
  { name: 'no changes', plan: fakePlan(), setting: 'additive', kind: 'nothing' },
  { name: 'no changes, none', plan: fakePlan(), setting: 'none', kind: 'nothing' },
  { name: 'additive changes', plan: fakePlan([additive]), setting: 'additive', kind: 'apply' },
  {
    name: 'one destructive change holds all',
    plan: fakePlan([additive, destructive]),
    setting: 'additive',
    kind: 'wait',
    waiting: 1,
  },
  { name: 'destructive with consent', plan: fakePlan([destructive]), setting: 'all', kind: 'apply' },
  { name: 'none waits for everything', plan: fakePlan([additive]), setting: 'none', kind: 'wait', waiting: 1 },
  {
    name: 'what the guard dropped takes a person, whatever the setting',
    plan: fakePlan([additive, destructive, fakeChange({ address: 'crm:slot' })]),
    setting: 'all',
    halted: ['shop'],
    kind: 'wait',
    waiting: 2,
  },
  {
    name: 'a plan without the halted source',
    plan: fakePlan([additive]),
    setting: 'all',
    halted: ['crm'],
    kind: 'apply',
  },
  { name: 'a blocker goes first', plan: fakePlan([additive], [blocker]), setting: 'all', kind: 'blocked' },
])('$name', (c) => {
  const decision = autoApply(c.plan, c.setting, new Set(c.halted));
  expect(decision.kind).toBe(c.kind);
  expect(decision.kind === 'wait' ? decision.changes.length : undefined).toBe(c.waiting);
});
