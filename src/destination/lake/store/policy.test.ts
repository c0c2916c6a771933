import { describe, expect, test } from 'vitest';
import { leastPrivilegePolicy, type PolicyPlace } from './policy.js';

interface Statement {
  readonly Sid: string;
  readonly Action: string | readonly string[];
  readonly Resource: string;
  readonly Condition?: unknown;
}

function statement(place: PolicyPlace, sid: string): Statement | undefined {
  const policy: { readonly Statement: readonly Statement[] } = JSON.parse(leastPrivilegePolicy(place));
  return policy.Statement.find(({ Sid }) => Sid === sid);
}

test('objects below the prefix and nothing else', () => {
  const place = { bucket: 'acme-lake', prefix: '/shop/' };
  expect(statement(place, 'SluiceObjects')).toEqual({
    Sid: 'SluiceObjects',
    Effect: 'Allow',
    Action: ['s3:GetObject', 's3:PutObject', 's3:DeleteObject', 's3:AbortMultipartUpload'],
    Resource: 'arn:aws:s3:::acme-lake/shop/*',
  });
  expect(statement(place, 'SluiceList')).toMatchObject({
    Resource: 'arn:aws:s3:::acme-lake',
    Condition: { StringLike: { 's3:prefix': 'shop/*' } },
  });
  expect(leastPrivilegePolicy(place)).not.toContain('kms');
});

test('a whole bucket has no condition', () => {
  const place = { bucket: 'b', prefix: '' };
  expect(statement(place, 'SluiceObjects')?.Resource).toBe('arn:aws:s3:::b/*');
  expect(statement(place, 'SluiceList')?.Condition).toBeUndefined();
});

test.each([
  { region: 'cn-north-1', partition: 'aws-cn' },
  { region: 'us-gov-west-1', partition: 'aws-us-gov' },
  { region: 'eu-central-1', partition: 'aws' },
])('partition of $region', ({ region, partition }) =>
  expect(statement({ bucket: 'b', prefix: 'p', region }, 'SluiceList')?.Resource).toBe(`arn:${partition}:s3:::b`),
);

describe('the key', () => {
  const arn = 'arn:aws:kms:eu-central-1:123456789012:key/abc';
  test.each([
    { name: 'by ARN', kmsKeyId: arn, expected: { Resource: arn } },
    { name: 'by id', kmsKeyId: 'abc', expected: { Resource: 'arn:aws:kms:*:*:key/abc' } },
    {
      name: 'by alias',
      kmsKeyId: 'alias/lake',
      expected: { Condition: { 'ForAnyValue:StringEquals': { 'kms:ResourceAliases': 'alias/lake' } } },
    },
    {
      name: 'by the ARN of an alias',
      kmsKeyId: 'arn:aws:kms:eu-central-1:123456789012:alias/lake',
      expected: { Condition: { 'ForAnyValue:StringEquals': { 'kms:ResourceAliases': 'alias/lake' } } },
    },
  ])('$name', ({ kmsKeyId, expected }) => {
    const found = statement({ bucket: 'b', prefix: 'p', kmsKeyId }, 'SluiceKey');
    expect(found).toMatchObject({ Action: ['kms:GenerateDataKey', 'kms:Decrypt'], ...expected });
  });
});
