import { ERROR_CODES, isErrorCode } from '../../error/codes.js';
import type { Finding } from '../../guard/finding.js';
import { command } from '../command.js';
import { doctorJson, doctorText } from '../view/doctor-view.js';

export const doctor = command<Record<string, never>, readonly Finding[]>({
  name: 'doctor',
  summary: 'Check that the databases are ready',
  description:
    'Looks at versions, settings, privileges, keys, publications and slots, and prints the SQL that mends what is wrong. Nothing is changed. Exit code 1 (69 for a server out of reach) when something stands in the way.',
  arguments: [],
  options: [],
  examples: [
    { command: 'doctor', text: 'all sources of the config' },
    { command: 'doctor --format json', text: 'for a program to read' },
  ],
  parse: () => ({}),
  run: (_args, context) => context.withEngine((engine) => engine.doctor(context.signal)),
  views: { human: doctorText, json: doctorJson },
  verdict(findings) {
    const error = findings.find((finding) => finding.level === 'error');
    if (error === undefined) return 0;
    return isErrorCode(error.code) ? ERROR_CODES[error.code].exit : 1;
  },
});
