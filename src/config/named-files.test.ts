import { expect, test } from 'vitest';
import { withParts } from '../../test/config/config-text.js';
import { parseConfig } from './load.js';
import { namedFiles } from './named-files.js';
import { formatProblems } from './problem.js';

test('secrets, certificates and known hosts, apart for databases and stores', () => {
  const parts = {
    connections: `  shop_db:
    host: db.example.com
    database: shop
    user: sluice
    password: { file: secrets/shop }
    tls: { ca_file: certs/ca.pem, cert_file: certs/client.pem, key_file: certs/client.key }
    tunnel:
      host: inner
      user: t
      private_key: { file: ~/.ssh/id }
      passphrase: { env: PASSPHRASE }
      known_hosts: known_hosts
      through: [{ host: outer, user: t, password: { file: secrets/outer }, host_key: "SHA256:${'a'.repeat(43)}" }]`,
    destinations: `  warehouse:
    type: s3
    format: delta
    bucket: lake
    endpoint: https://localhost
    ca_file: certs/store.pem
    access_key_id: { env: ID }
    secret_access_key: { file: secrets/store }`,
  };
  const result = parseConfig(withParts(parts), 'sources.yaml', { env: {}, cwd: '/etc/sluice', homeDir: '/home/ann' });
  if (!result.ok) throw new Error(formatProblems(result.problems));
  expect(namedFiles(result.config)).toEqual({
    ofConnections: [
      '/etc/sluice/certs/ca.pem',
      '/etc/sluice/certs/client.key',
      '/etc/sluice/certs/client.pem',
      '/etc/sluice/known_hosts',
      '/etc/sluice/secrets/outer',
      '/etc/sluice/secrets/shop',
      '/home/ann/.ssh/id',
    ],
    ofStores: ['/etc/sluice/certs/store.pem', '/etc/sluice/secrets/store'],
  });
});
