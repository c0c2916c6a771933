import { type ConnectTarget, connectSource } from './connect.js';
import { sqlState } from './errors.js';
import { parseTimelineHistory, type TimelineHistory } from './timeline-history.js';

const TOO_MANY_CONNECTIONS = '53300';
const CANNOT_CONNECT_NOW = '57P03';

/**
 * Asks the server for the history of a timeline. Only a replication connection can (the files are closed to SQL); it is
 * opened for the one question, as most servers are still on the timeline that the stream knows.
 * @returns null where the server does not tell: no replication connection is allowed, or the file is gone
 */
export async function readTimelineHistory(
  target: ConnectTarget,
  timelineId: number,
  signal: AbortSignal,
): Promise<TimelineHistory | null> {
  try {
    const connection = await connectSource(target, { purpose: 'timeline', signal, replication: true });
    try {
      // The simple protocol: a walsender knows no other.
      const result = await connection.client.query<{ content: unknown }>({
        text: `TIMELINE_HISTORY ${timelineId}`,
        types: { getTypeParser: () => (value: string | Buffer) => value.toString() },
      });
      const content = result.rows[0]?.content;
      return typeof content === 'string' ? parseTimelineHistory(timelineId, content) : null;
    } finally {
      await connection.end();
    }
  } catch (error) {
    const state = sqlState(error);
    // Refused is an answer; out of reach, or out of walsenders for the moment, is none.
    if (state === null || state === TOO_MANY_CONNECTIONS || state === CANNOT_CONNECT_NOW) throw error;
    return null;
  }
}
