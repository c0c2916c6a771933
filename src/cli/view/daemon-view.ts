import type { DaemonBlock } from '../../daemon/control-protocol.js';
import type { Page } from '../command.js';
import { printable } from '../terminal.js';
import { formatAge } from './age.js';
import { errorSummary } from './live-view.js';
import { mistakeLines, mistakesOf } from './reload-view.js';

/**
 * What `status` tells of a daemon that answers.
 * @param mistakes whether to list those of a broken config, or only to say that there are some
 */
export function daemonText(daemon: DaemonBlock, page: Page, mistakes: boolean): string {
  const { config, pending_plan: pending } = daemon;
  const age = (iso: string): string => formatAge(iso, page.now);
  const lines = [
    `${page.paint('bold', 'daemon')}  pid ${daemon.pid}, ${daemon.version}, started ${age(daemon.started_at)}`,
  ];
  if (config.error === null) {
    lines.push(`  config in use since ${config.in_use_since} (${age(config.in_use_since)})`);
  } else {
    const [first = ''] = config.error.message.split('\n');
    lines.push(
      `  ${page.paint('red', 'config not used')}  ${errorSummary({ ...config.error, message: first })}`,
      `  the last good config goes on since ${config.in_use_since} (${age(config.in_use_since)})`,
    );
    if (mistakes && mistakesOf(config.error.message).length > 0) {
      lines.push(indent(mistakeLines(config.error.message)).trimEnd());
    }
  }
  if (daemon.plan_error !== null) {
    lines.push(`  ${page.paint('red', 'not applied')}, tried again: ${errorSummary(daemon.plan_error)}`);
  }
  if (pending !== null) {
    lines.push(
      `  ${page.paint('yellow', 'waiting')} for sluice apply since ${age(pending.since)}:`,
      ...pending.changes.map((change) => `    ${printable(change)}`),
    );
  }
  for (const { source, error, retry_at: retryAt } of daemon.held_sources) {
    const next = retryAt === null ? 'stopped until somebody mends it' : `tried again at ${retryAt}`;
    lines.push(`  ${page.paint('yellow', 'held')} ${printable(source)}, ${next}: ${errorSummary(error)}`);
  }
  for (const { address, error, attempts, retry_at: retryAt } of daemon.held_tables) {
    const tries = attempts === 1 ? 'failed' : `failed ${attempts} times`;
    const next = `${tries}, tried again at ${retryAt}`;
    lines.push(`  ${page.paint('yellow', 'held')} ${printable(address)}, ${next}: ${errorSummary(error)}`);
  }
  return `${lines.join('\n')}\n`;
}

function indent(text: string): string {
  return text.replace(/^(?=.)/gm, '    ');
}
