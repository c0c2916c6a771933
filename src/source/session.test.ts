import { expect, test } from 'vitest';
import { applicationName } from './session.js';

test.each([
  { name: 'a purpose', purpose: 'snapshot shop:public.users', shown: 'sluice snapshot shop:public.users' },
  { name: 'no purpose', purpose: '', shown: 'sluice' },
  { name: 'what Postgres would turn into question marks', purpose: 'é\n', shown: 'sluice ??' },
  { name: 'a long one', purpose: 'x'.repeat(100), shown: `sluice ${'x'.repeat(56)}` },
])('application_name for $name', ({ purpose, shown }) => expect(applicationName(purpose)).toBe(shown));
