import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { classicCheckpointName, commitName, type LogFile, readLogName, sidecarName, versionName } from './log-path.js';

const V10 = '00000000000000000010';
const V12 = '00000000000000000012';
const UUID = '80a083e8-7026-4e79-81be-64bd76c43a11';

describe('a name in the log', () => {
  test.each<{ name: string; is: LogFile }>([
    { name: `${V10}.json`, is: { kind: 'commit', version: 10 } },
    { name: `${V10}.checkpoint.parquet`, is: { kind: 'classic_checkpoint', version: 10 } },
    {
      name: `${V10}.checkpoint.0000000002.0000000003.parquet`,
      is: { kind: 'checkpoint_part', version: 10, part: 2, parts: 3 },
    },
    { name: `${V10}.checkpoint.${UUID}.json`, is: { kind: 'v2_checkpoint', version: 10, uuid: UUID, format: 'json' } },
    {
      name: `${V10}.checkpoint.${UUID}.parquet`,
      is: { kind: 'v2_checkpoint', version: 10, uuid: UUID, format: 'parquet' },
    },
    { name: `_sidecars/${UUID}.parquet`, is: { kind: 'sidecar', file: `${UUID}.parquet` } },
    { name: '_last_checkpoint', is: { kind: 'last_checkpoint' } },
    { name: `${V10}.${V12}.compacted.json`, is: { kind: 'compacted', version: 10, toVersion: 12 } },
    { name: `${V10}.crc`, is: { kind: 'crc', version: 10 } },
    { name: '00000000009007199254740991.json', is: { kind: 'unknown' } },
    { name: '00009007199254740991.json', is: { kind: 'commit', version: Number.MAX_SAFE_INTEGER } },
    { name: '00009007199254740992.json', is: { kind: 'unknown' } },
    { name: '99999999999999999999.json', is: { kind: 'unknown' } },
    { name: '0000000000000000010.json', is: { kind: 'unknown' } },
    { name: '+0000000000000000010.json', is: { kind: 'unknown' } },
    { name: `.${V10}.json.crc`, is: { kind: 'unknown' } },
    { name: `${V10}.json.tmp`, is: { kind: 'unknown' } },
    { name: `${V10}.${UUID}.json`, is: { kind: 'unknown' } },
    { name: `_staged_commits/${V10}.${UUID}.json`, is: { kind: 'unknown' } },
    { name: `_sidecars/deeper/${UUID}.parquet`, is: { kind: 'unknown' } },
    { name: `${V10}.checkpoint.json`, is: { kind: 'unknown' } },
    { name: `${V10}.checkpoint.2.3.parquet`, is: { kind: 'unknown' } },
    { name: `${V10}.checkpoint.0000000000.0000000003.parquet`, is: { kind: 'unknown' } },
    { name: `${V10}.checkpoint.0000000004.0000000003.parquet`, is: { kind: 'unknown' } },
    { name: `${V10}.checkpoint.not-a-uuid.json`, is: { kind: 'unknown' } },
    { name: `${V12}.${V10}.compacted.json`, is: { kind: 'unknown' } },
    { name: `${V10}.${V10}.compacted.json`, is: { kind: 'unknown' } },
    { name: '', is: { kind: 'unknown' } },
  ])('$name', ({ name, is }) => expect(readLogName(name)).toEqual(is));

  test('that we make is read back', () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), (version) => {
        expect(readLogName(commitName(version))).toEqual({ kind: 'commit', version });
        expect(readLogName(classicCheckpointName(version))).toEqual({ kind: 'classic_checkpoint', version });
      }),
    );
    expect(readLogName(sidecarName('a.parquet'))).toEqual({ kind: 'sidecar', file: 'a.parquet' });
  });

  test('of a later version sorts behind all of an earlier one', () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), fc.maxSafeNat(), (a, b) => {
        fc.pre(a < b);
        expect(commitName(a) < versionName(b)).toBe(true);
        expect(versionName(b) < classicCheckpointName(b)).toBe(true);
        expect(classicCheckpointName(b) < commitName(b)).toBe(true);
      }),
    );
  });

  test.each([-1, 0.5, Number.NaN, 2 ** 53])('is not made of %d', (version) => {
    expect(() => commitName(version)).toThrow(/not a version/);
  });
});
