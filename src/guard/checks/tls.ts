import type { Finding } from '../finding.js';
import type { Subject } from '../subject.js';

/** Nothing on the way between two processes of one machine can listen in. */
function isLocal(host: string): boolean {
  return host.startsWith('/') || host === 'localhost' || host === '::1' || host.startsWith('127.');
}

export function checkTls({ source, connection, catalog }: Subject): Finding[] {
  if (isLocal(connection.host)) return [];
  const mode = connection.tls.mode;
  const finding = { address: source.name, fixSql: null, needsRestart: false };
  if (!catalog.server.tls) {
    return [
      {
        ...finding,
        level: 'warning',
        code: 'TLS_OFF',
        message: `the connection to ${connection.host} is not encrypted (tls.mode: ${mode})`,
        why: 'password exchange and rows can be read and changed on the way; set tls.mode: verify-full',
      },
    ];
  }
  if (mode === 'verify-full' || mode === 'verify-ca' || connection.tls.caFile !== null) return [];
  return [
    {
      ...finding,
      level: 'info',
      code: 'TLS_UNVERIFIED',
      message: `the connection to ${connection.host} is encrypted, but nobody checks who answers (tls.mode: ${mode})`,
      why: 'whoever can redirect the connection can read it; set tls.mode: verify-full, with ca_file where the host gives one out',
    },
  ];
}
