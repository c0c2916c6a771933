import { assertNever } from '../../error/sluice-error.js';
import type { Finding } from '../../guard/finding.js';
import type { DestinationPolicy } from '../../guard/lake-policy.js';
import type { Page } from '../command.js';
import { type Paint, printable } from '../terminal.js';
import { snakeKeys } from './snake-keys.js';
import { wrapped } from './wrapped.js';

type Level = Finding['level'];
/** Most severe first. */
const LEVELS: readonly Level[] = ['error', 'warning', 'info'];
const INDENT = '    ';

/**
 * Source by source and object by object, the worst first, each finding with why it matters. The SQL that mends it stands
 * on lines of its own and is never broken, so that it can be pasted.
 */
export function doctorText(findings: readonly Finding[], page: Page): string {
  const sources = groupBy(findings, ({ address }) => address.split(':')[0] ?? '');
  const blocks = sources.map((own) => sourceText(own, page));
  return [...blocks, `${verdict(findings, page.paint)}\n`].join('\n');
}

export function doctorJson(findings: readonly Finding[]): Record<string, unknown> {
  return {
    errors: count(findings, 'error'),
    warnings: count(findings, 'warning'),
    findings: findings.map(snakeKeys),
  };
}

/** With one bucket nothing but the policy, so that it can be piped; with several each has its name above it. */
export function policiesText(policies: readonly DestinationPolicy[], page: Page): string {
  const [only] = policies;
  if (only === undefined) return 'No destination of the file is a bucket.\n';
  if (policies.length === 1) return `${only.policy}\n`;
  return policies
    .map(({ destination, bucket, policy }) => `${page.paint('bold', `${destination} (s3://${bucket})`)}\n${policy}\n`)
    .join('\n');
}

export function policiesJson(policies: readonly DestinationPolicy[]): Record<string, unknown> {
  return { policies: policies.map(({ policy, ...place }) => ({ ...place, policy: JSON.parse(policy) })) };
}

function sourceText(findings: readonly Finding[], page: Page): string {
  const objects = groupBy(findings, ({ address }) => address);
  const worst = (own: readonly Finding[]) => Math.min(...own.map(({ level }) => LEVELS.indexOf(level)));
  const sorted = [...objects].sort((left, right) => worst(left) - worst(right));
  return sorted.map((own) => objectText(own, page)).join('\n');
}

function objectText(findings: readonly Finding[], page: Page): string {
  const [first] = findings;
  const sorted = LEVELS.flatMap((level) => findings.filter((finding) => finding.level === level));
  const lines = sorted.flatMap((finding) => findingLines(finding, page));
  return [page.paint('bold', printable(first?.address ?? '')), ...lines].map((line) => `${line}\n`).join('');
}

function findingLines(finding: Finding, page: Page): string[] {
  const { paint, columns } = page;
  const [head = '', ...rest] = wrapped(
    `${finding.level} ${finding.code}  ${printable(finding.message)}`,
    INDENT,
    columns,
  );
  const mark = `  ${paintLevel(finding.level, paint)}`;
  const sql = finding.fixSql === null ? [] : finding.fixSql.split('\n').map(printable);
  if (finding.needsRestart) sql.push('-- then restart the server');
  return [
    mark + head.slice(INDENT.length + finding.level.length),
    ...rest,
    ...(finding.why === '' ? [] : wrapped(printable(finding.why), INDENT, columns).map((line) => paint('dim', line))),
    ...sql.map((line) => INDENT + paint('cyan', line)),
  ];
}

function paintLevel(level: Level, paint: Paint): string {
  switch (level) {
    case 'error':
      return paint('red', 'error');
    case 'warning':
      return paint('yellow', 'warning');
    case 'info':
      return paint('dim', 'info');
    default:
      return assertNever(level);
  }
}

function verdict(findings: readonly Finding[], paint: Paint): string {
  const errors = count(findings, 'error');
  const warnings = count(findings, 'warning');
  if (errors === 0 && warnings === 0) return paint('green', 'Everything is ready.');
  const text = `${errors} ${errors === 1 ? 'error' : 'errors'}, ${warnings} ${warnings === 1 ? 'warning' : 'warnings'}.`;
  return errors > 0 ? paint('red', text) : paint('yellow', `Ready. ${text}`);
}

function count(findings: readonly Finding[], level: Level): number {
  return findings.filter((finding) => finding.level === level).length;
}

/** In the order in which the keys come up first. */
function groupBy(findings: readonly Finding[], keyOf: (finding: Finding) => string): readonly (readonly Finding[])[] {
  const groups = new Map<string, Finding[]>();
  for (const finding of findings) {
    const group = groups.get(keyOf(finding));
    if (group === undefined) groups.set(keyOf(finding), [finding]);
    else group.push(finding);
  }
  return [...groups.values()];
}
