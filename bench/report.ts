import type { Machine } from './machine.js';
import type { Measured, Pair, Sample } from './measure-workload.js';

/** Medians over the runs of one workload. MB are 10^6 bytes. */
export interface Figures {
  readonly wallSeconds: number;
  readonly cpuSeconds: number;
  readonly serverCpuSeconds: number | null;
  /** Cores that neither the program nor its session used: the noise it ran in. */
  readonly otherCores: number | null;
  readonly peakRssMb: number;
  readonly unitsPerSecond: number;
}

export interface Aim {
  readonly name: string;
  readonly limit: number;
  readonly value: number;
  readonly met: boolean;
}

export interface Report {
  readonly workload: string;
  readonly title: string;
  readonly unit: string;
  readonly units: number;
  readonly runs: number;
  readonly floor: Figures;
  readonly sync: Figures;
  /** Median over the runs of (wall of a sync / wall of the floor right before it). */
  readonly ratio: number;
  readonly ratios: readonly number[];
  readonly fileMb: number;
  readonly aims: readonly Aim[];
}

const MB = 1_000_000;

export function reportOf({ workload, pairs }: Measured): Report {
  const ratios = pairs.map((pair) => pair.sync.cost.wallSeconds / pair.floor.cost.wallSeconds);
  const sync = figuresOf(pairs, (pair) => pair.sync, workload.units);
  const ratio = median(ratios);
  const { ratioAtMost, peakRssBytesAtMost, unitsPerSecondAtLeast } = workload.aims;
  const aims: Aim[] = [];
  if (ratioAtMost !== null) aims.push(atMost('wall / floor', ratio, ratioAtMost));
  if (unitsPerSecondAtLeast !== null) {
    const value = sync.unitsPerSecond;
    aims.push({ name: `${workload.unit}/s`, limit: unitsPerSecondAtLeast, value, met: value >= unitsPerSecondAtLeast });
  }
  if (peakRssBytesAtMost !== null) aims.push(atMost('peak RSS MB', sync.peakRssMb, peakRssBytesAtMost / MB));
  return {
    workload: workload.name,
    title: workload.title,
    unit: workload.unit,
    units: workload.units,
    runs: pairs.length,
    floor: figuresOf(pairs, (pair) => pair.floor, workload.units),
    sync,
    ratio,
    ratios,
    fileMb: median(pairs.map((pair) => pair.fileBytes)) / MB,
    aims,
  };
}

export function machineText(machine: Machine): string {
  const { cores, cpu, memoryBytes, system, node, postgres, duckdb } = machine;
  const memory = (memoryBytes / 1024 ** 3).toFixed(1);
  return `${cores} cores (${cpu}), ${memory} GiB, ${system}, Node ${node}, Postgres ${postgres}, DuckDB ${duckdb}\n`;
}

export function reportText(report: Report): string {
  const { floor, sync } = report;
  const head = ['', 'wall s', 'CPU s', 'server CPU s', 'peak RSS MB', `${report.unit}/s`, 'others, cores'];
  const row = (name: string, figures: Figures) => [
    name,
    figures.wallSeconds.toFixed(2),
    figures.cpuSeconds.toFixed(2),
    figures.serverCpuSeconds?.toFixed(2) ?? '-',
    figures.peakRssMb.toFixed(0),
    whole(figures.unitsPerSecond),
    figures.otherCores?.toFixed(1) ?? '-',
  ];
  const ratios = report.ratios.map((ratio) => ratio.toFixed(2)).join(', ');
  const aims = report.aims.map(
    ({ name, value, limit, met }) =>
      `  ${met ? 'met   ' : 'missed'}  ${name}: ${number(value)} (aim ${number(limit)})\n`,
  );
  return `\n${report.workload}: ${report.title}; medians of ${report.runs}
${columns([head, row('floor', floor), row('sluice', sync)])}  wall / floor ${report.ratio.toFixed(2)} (each run: ${ratios}), file ${whole(report.fileMb)} MB, result equal to Postgres
${aims.join('')}`;
}

function figuresOf(pairs: readonly Pair[], pick: (pair: Pair) => Sample, units: number): Figures {
  const samples = pairs.map(pick);
  const wallSeconds = median(samples.map(({ cost }) => cost.wallSeconds));
  const companies = samples.flatMap(({ company }) => (company === null ? [] : [company]));
  const others = samples.flatMap(({ cost, company }) => {
    if (company === null) return [];
    const seconds = company.machineCpuSeconds - company.serverCpuSeconds - cost.cpuSeconds;
    return [Math.max(0, seconds / cost.wallSeconds)];
  });
  return {
    wallSeconds,
    cpuSeconds: median(samples.map(({ cost }) => cost.cpuSeconds)),
    serverCpuSeconds: companies.length === 0 ? null : median(companies.map((company) => company.serverCpuSeconds)),
    otherCores: others.length === 0 ? null : median(others),
    peakRssMb: median(samples.map(({ cost }) => cost.peakRssBytes)) / MB,
    unitsPerSecond: units / wallSeconds,
  };
}

function atMost(name: string, value: number, limit: number): Aim {
  return { name, limit, value, met: value <= limit };
}

/** Of an even number of values, the mean of the middle two. */
function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const low = sorted[Math.floor((sorted.length - 1) / 2)] ?? Number.NaN;
  const high = sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
  return (low + high) / 2;
}

function whole(value: number): string {
  return Math.round(value).toLocaleString('en-US');
}

function number(value: number): string {
  return value < 100 ? value.toFixed(2) : whole(value);
}

/** Rows of cells as lines with even columns, the first to the left. */
export function columns(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0))) ?? [];
  const line = (row: readonly string[]) =>
    row
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0)))
      .join('  ');
  return rows.map((row) => `  ${line(row)}\n`).join('');
}
