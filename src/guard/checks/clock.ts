import { formatDuration } from '../../config/duration.js';
import type { Finding } from '../finding.js';
import { known, type Subject } from '../subject.js';

/** Machines that ask a time server agree within milliseconds. */
const TOLERANCE_MS = 5_000;

/** The two clocks meet in `status`, where the age of data is commit time against this machine's, and in cron schedules. */
export function checkClock(subject: Subject): Finding[] {
  const clock = known(subject.readiness?.details?.clock);
  if (clock === null) return [];
  // The server looked at its clock somewhere within the round trip.
  const surelyMs = Math.abs(clock.aheadMs) - clock.roundTripMs / 2;
  if (surelyMs <= TOLERANCE_MS) return [];
  const seconds = Math.round(Math.abs(clock.aheadMs) / 1_000);
  return [
    {
      level: 'warning',
      code: 'CLOCK',
      address: subject.source.name,
      message: `the server's clock is ${formatDuration(seconds * 1_000)} ${clock.aheadMs > 0 ? 'ahead of' : 'behind'} this machine's`,
      why: 'ages and lags that are shown are off by it, and schedules run at the wrong time; let both ask a time server',
      fixSql: null,
      needsRestart: false,
    },
  ];
}
