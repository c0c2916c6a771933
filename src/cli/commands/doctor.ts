import { ERROR_CODES, isErrorCode } from '../../error/codes.js';
import type { Finding } from '../../guard/finding.js';
import { type DestinationPolicy, policiesOf } from '../../guard/lake-policy.js';
import { command } from '../command.js';
import { doctorJson, doctorText, policiesJson, policiesText } from '../view/doctor-view.js';

export interface DoctorArgs {
  readonly policy: boolean;
}

type DoctorResult =
  | { readonly kind: 'findings'; readonly findings: readonly Finding[] }
  | { readonly kind: 'policies'; readonly policies: readonly DestinationPolicy[] };

export const doctor = command<DoctorArgs, DoctorResult>({
  name: 'doctor',
  summary: 'Check that databases and lakes are ready',
  description:
    'Looks at versions, settings, privileges, keys, publications and slots, and prints the SQL that mends what is wrong. In the bucket or folder of a lake it tries everything that a sync does, with small objects below _sluice/ that it removes again; nothing else is changed. Exit code 1 (69 for a server out of reach) when something stands in the way.',
  arguments: [],
  options: [
    {
      kind: 'flag',
      name: 'policy',
      description: 'only print the IAM policy that each bucket needs, and check nothing',
    },
  ],
  examples: [
    { command: 'doctor', text: 'all sources of the config and the lakes they go to' },
    { command: 'doctor --format json', text: 'for a program to read' },
    { command: 'doctor --policy', text: 'the least that a bucket has to allow, to be pasted' },
  ],
  parse: (input) => ({ policy: input.flag('policy') }),
  run: ({ policy }, context) =>
    context.withEngine(
      async (engine): Promise<DoctorResult> =>
        policy
          ? { kind: 'policies', policies: policiesOf(engine.config) }
          : { kind: 'findings', findings: await engine.doctor(context.signal) },
    ),
  views: {
    human: (result, page) =>
      result.kind === 'policies' ? policiesText(result.policies, page) : doctorText(result.findings, page),
    json: (result) => (result.kind === 'policies' ? policiesJson(result.policies) : doctorJson(result.findings)),
  },
  verdict(result) {
    if (result.kind === 'policies') return 0;
    const error = result.findings.find((finding) => finding.level === 'error');
    if (error === undefined) return 0;
    return isErrorCode(error.code) ? ERROR_CODES[error.code].exit : 1;
  },
});
