import { assertNever } from '../../error/sluice-error.js';
import type { Finding } from '../../guard/finding.js';
import type { Page } from '../command.js';
import { type Paint, printable } from '../terminal.js';
import { snakeKeys } from './snake-keys.js';

/** Errors first, each with why it matters and the SQL that mends it. */
export function doctorText(findings: readonly Finding[], page: Page): string {
  const levels: readonly Finding['level'][] = ['error', 'warning', 'info'];
  const blocks = levels.flatMap((level) =>
    findings.filter((finding) => finding.level === level).map((finding) => findingText(finding, page.paint)),
  );
  return [...blocks, `${verdict(findings, page.paint)}\n`].join('');
}

export function doctorJson(findings: readonly Finding[]): Record<string, unknown> {
  return {
    errors: count(findings, 'error'),
    warnings: count(findings, 'warning'),
    findings: findings.map(snakeKeys),
  };
}

function findingText(finding: Finding, paint: Paint): string {
  const lines = [
    `${paintLevel(finding.level, paint)}  ${finding.code}  ${finding.address}: ${printable(finding.message)}`,
  ];
  if (finding.why !== '') lines.push(`  why: ${printable(finding.why)}`);
  if (finding.fixSql !== null) {
    const [first = '', ...more] = finding.fixSql.split('\n');
    lines.push(`  fix: ${first}`, ...more.map((line) => `       ${line}`));
  }
  if (finding.needsRestart) lines.push('       (then restart the server)');
  return `${lines.join('\n')}\n`;
}

function paintLevel(level: Finding['level'], paint: Paint): string {
  switch (level) {
    case 'error':
      return paint('red', 'error  ');
    case 'warning':
      return paint('yellow', 'warning');
    case 'info':
      return paint('dim', 'info   ');
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

function count(findings: readonly Finding[], level: Finding['level']): number {
  return findings.filter((finding) => finding.level === level).length;
}
