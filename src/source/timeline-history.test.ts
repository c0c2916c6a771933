import { describe, expect, test } from 'vitest';
import { parseLsn } from '../pgoutput/lsn.js';
import { leftTimelineAt, parseTimelineHistory } from './timeline-history.js';

describe('a timeline history', () => {
  test('lists the ancestors and where each was left', () => {
    const history = parseTimelineHistory(
      4,
      '# made by hand\n1\t0/3000148\tno recovery target specified\n\n2\t0/50000A0\tbefore 2026-01-01 00:00:00+00\n3\t1/A\tat restore point "x 9/9"\n',
    );
    expect(history).toEqual({
      timelineId: 4,
      ancestors: [
        { timelineId: 1, switchedAt: parseLsn('0/3000148') },
        { timelineId: 2, switchedAt: parseLsn('0/50000A0') },
        { timelineId: 3, switchedAt: parseLsn('1/A') },
      ],
    });
    expect(leftTimelineAt(history, 2)).toBe(parseLsn('0/50000A0'));
    expect(leftTimelineAt(history, 5)).toBeNull();
  });

  test.each(['1', 'one\t0/3000148\tx', '1\t0-3000148\tx', '1\t0/3000148x'])('refuses the line %j', (line) => {
    expect(() => parseTimelineHistory(2, line)).toThrow(/not a line of a timeline history/);
  });
});
