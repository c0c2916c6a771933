import type { Pausing, Resuming } from '../../state/pause.js';
import { printable } from '../terminal.js';
import { snakeKeys } from './snake-keys.js';

/** @param addresses of cdc tables whose changes pass by unread from then on */
export function pauseQuestion(addresses: readonly string[]): string {
  const [them, are] = addresses.length === 1 ? ['it', 'is'] : ['them', 'are'];
  return `Pause ${addresses.map(printable).join(', ')}? The stream goes on without ${them}: after resume ${them === 'it' ? 'it' : 'they'} ${are} loaded anew, and history lacks the versions in between.`;
}

export function pauseText(pausings: readonly Pausing[]): string {
  return pausings.map(pausedText).join('');
}

function pausedText({ address, already, heldSlot, missesChanges }: Pausing): string {
  const lines = [`${already ? 'paused already' : 'paused'}  ${printable(address)}`];
  if (heldSlot !== null) {
    lines.push(
      `  Its stream stands still: slot ${printable(heldSlot)} holds the server's WAL until it goes on; sluice status shows how much.`,
    );
  }
  if (missesChanges) {
    lines.push('  The stream goes on without it: its changes pass by unread, and after resume it is loaded anew.');
  }
  if (!already) lines.push(`  To let it go on: sluice resume ${printable(address)}`);
  return lines.map((line) => `${line}\n`).join('');
}

export function pauseJson(pausings: readonly Pausing[]): Record<string, unknown> {
  return { paused: pausings.map(snakeKeys) };
}

export function resumeText(resumings: readonly Resuming[]): string {
  return resumings.map(resumedText).join('');
}

function resumedText({ address, already, load, stillPaused }: Resuming): string {
  const lines = [`${already ? 'not paused' : 'resumed'}  ${printable(address)}`];
  if (load !== null) lines.push(`  It is loaded anew with the next sync: ${load}.`);
  for (const other of stillPaused) {
    lines.push(`  Still paused: ${printable(other)}; to let it go on: sluice resume ${printable(other)}`);
  }
  return lines.map((line) => `${line}\n`).join('');
}

export function resumeJson(resumings: readonly Resuming[]): Record<string, unknown> {
  return { resumed: resumings.map(snakeKeys) };
}
