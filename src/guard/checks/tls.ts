import type { Finding } from '../finding.js';
import { known, type Subject } from '../subject.js';

/** Nothing on the way between two processes of one machine can listen in. */
function isLocal(host: string): boolean {
  return host.startsWith('/') || host === 'localhost' || host === '::1' || host.startsWith('127.');
}

export function checkTls(subject: Subject): Finding[] {
  const { source, connection, catalog } = subject;
  // What a tunnel leads to is not this machine, whatever its name is over there.
  if (isLocal(connection.host) && connection.tunnel === null) return [];
  const mode = connection.tls.mode;
  const finding = { address: source.name, fixSql: null, needsRestart: false };
  const { tunnel } = connection;
  const through: Finding[] = [];
  if (tunnel !== null) {
    through.push({
      ...finding,
      level: 'info',
      code: 'TUNNEL',
      message: `the connection goes through ${[...tunnel.through, tunnel].map((hop) => `${hop.user}@${hop.host}:${hop.port}`).join(', then ')}`,
      why: 'the SSH host and its key were checked; what lies beyond it is reached from there',
    });
  }
  // A unix socket lies on the SSH host itself.
  if (connection.host.startsWith('/')) return through;
  if (!catalog.server.tls) {
    return [
      ...through,
      {
        ...finding,
        level: 'warning',
        code: 'TLS_OFF',
        message:
          tunnel === null
            ? `the connection to ${connection.host} is not encrypted (tls.mode: ${mode})`
            : `between the SSH host ${tunnel.host} and ${connection.host} the connection is not encrypted (tls.mode: ${mode})`,
        why: 'password exchange and rows can be read and changed on the way; set tls.mode: verify-full',
      },
    ];
  }
  const last = known(subject.readiness?.details?.encryption);
  const findings: Finding[] = [...through];
  if (last?.encrypted === false) {
    findings.push({
      ...finding,
      level: 'warning',
      code: 'TLS_ENDS_EARLY',
      message: 'the connection is encrypted from here, but the server sees it unencrypted',
      why: 'a pooler or proxy in between ends the encryption; what lies behind it can be read on the way',
    });
  } else if (last?.version != null) {
    findings.push({
      ...finding,
      level: 'info',
      code: 'TLS',
      message: `the connection is encrypted by ${last.version}${last.cipher === null ? '' : ` with ${last.cipher}`}`,
      why: `tls.mode is ${mode}`,
    });
  }
  if (mode !== 'verify-full' && mode !== 'verify-ca' && connection.tls.caFile === null) {
    findings.push({
      ...finding,
      level: 'info',
      code: 'TLS_UNVERIFIED',
      message: `nobody checks who answers at ${connection.host} (tls.mode: ${mode})`,
      why: 'whoever can redirect the connection can read it; set tls.mode: verify-full, with ca_file where the host gives one out',
    });
  }
  return findings;
}
