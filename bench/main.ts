import { parseArgs } from 'node:util';
import { measureWorkload } from './measure-workload.js';
import { machineText, type Report, reportOf, reportText } from './report.js';
import { type WorkloadName, workloadOf } from './workload.js';

const USAGE = `npm run bench [snapshot|cdc|narrow|all] [-- --runs N --json --node-flag=FLAG]

  snapshot   first load of 3,000,000 rows x 13 columns
  cdc        a backlog of 1,000,000 row changes
  narrow     first load of 10,000,000 rows x 4 columns
  all        snapshot and cdc (the default)
`;
const DEFAULT_RUNS = 2;

interface Request {
  readonly workloads: readonly WorkloadName[];
  readonly runs: number;
  readonly json: boolean;
  readonly nodeFlags: readonly string[];
}

function parseRequest(argv: readonly string[]): Request {
  const { values, positionals } = parseArgs({
    args: [...argv],
    allowPositionals: true,
    options: {
      runs: { type: 'string', default: String(DEFAULT_RUNS) },
      json: { type: 'boolean', default: false },
      'node-flag': { type: 'string', multiple: true, default: [] },
    },
  });
  const runs = Number(values.runs);
  if (!Number.isInteger(runs) || runs < 1) throw new Error(`--runs ${values.runs}: a whole number from 1 on`);
  const [which = 'all', ...rest] = positionals;
  if (rest.length > 0) throw new Error(`one workload at a time, not also ${rest.join(' ')}`);
  return { workloads: workloadsOf(which), runs, json: values.json, nodeFlags: values['node-flag'] };
}

function workloadsOf(which: string): WorkloadName[] {
  switch (which) {
    case 'all':
      return ['snapshot', 'cdc'];
    case 'snapshot':
    case 'cdc':
    case 'narrow':
      return [which];
    default:
      throw new Error(`no workload "${which}"`);
  }
}

function requestOrUsage(): Request | null {
  try {
    return parseRequest(process.argv.slice(2));
  } catch (error) {
    process.stderr.write(`${messageOf(error)}\n\n${USAGE}`);
    return null;
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

async function main(): Promise<void> {
  const request = requestOrUsage();
  if (request === null) {
    process.exitCode = 64;
    return;
  }
  const stop = new AbortController();
  // A terminal's Ctrl-C comes twice, once by way of tsx.
  for (const name of ['SIGINT', 'SIGTERM'] as const)
    process.on(name, () => stop.abort(new Error(`stopped by ${name}`)));
  const note = (text: string) => void process.stderr.write(`${text}\n`);
  const reports: Report[] = [];
  let machine = null;
  for (const name of request.workloads) {
    stop.signal.throwIfAborted();
    const measured = await measureWorkload(workloadOf(name), { ...request, note }, stop.signal);
    const report = reportOf(measured);
    if (!request.json && machine === null) process.stdout.write(machineText(measured.machine));
    machine = measured.machine;
    reports.push(report);
    if (!request.json) process.stdout.write(reportText(report));
  }
  if (request.json) process.stdout.write(`${JSON.stringify({ format_version: 1, machine, reports }, null, 2)}\n`);
}

main().catch((error: unknown) => {
  process.stderr.write(`${messageOf(error)}\n`);
  process.exitCode = 1;
});
