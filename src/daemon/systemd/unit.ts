/** The unit file by which systemd runs a daemon, made for one machine and one config. */

export interface UnitFacts {
  readonly version: string;
  /** Absolute paths of Node and of the CLI's script. */
  readonly node: string;
  readonly script: string;
  readonly configFile: string;
  readonly configFolder: string;
  readonly user: string;
  /** Names of the credentials that the config reads. */
  readonly credentials: readonly string[];
  /** Names of the environment variables that it reads. */
  readonly variables: readonly string[];
  /** Folders that are written to: state, destinations, working files. */
  readonly writable: readonly string[];
}

/** Where StateDirectory=sluice lies: it is writable without being named. */
export const STATE_DIRECTORY = '/var/lib/sluice';
const SECRETS = '/etc/sluice';

/** SIGTERM is through within 10 s (law 10); systemd kills after this. */
const STOP_SECONDS = 15;
const WATCHDOG_SECONDS = 60;

/** The text of `sluice.service`. Options and their quoting: systemd.service(5), systemd.exec(5), systemd.syntax(7). */
export function systemdUnit(facts: UnitFacts): string {
  const writable = facts.writable.filter((folder) => !isWithin(folder, STATE_DIRECTORY));
  const start = [facts.node, facts.script, 'daemon', '-c', facts.configFile].map(commandWord).join(' ');
  const lines = [
    `# Made by sluice ${facts.version} (sluice daemon --print-unit). To install it:`,
    '#   sluice daemon --print-unit | sudo tee /etc/systemd/system/sluice.service',
    `#   sudo useradd --system --home-dir ${STATE_DIRECTORY} ${facts.user}    # where the user is missing`,
    '#   sudo systemctl daemon-reload && sudo systemctl enable --now sluice',
    ...secretsHint(facts),
    '[Unit]',
    'Description=Sluice keeps Postgres tables in step with a warehouse or a lake',
    'Wants=network-online.target',
    'After=network-online.target',
    '',
    '[Service]',
    'Type=notify',
    '# systemd-notify is a child of the daemon.',
    'NotifyAccess=all',
    `ExecStart=${start}`,
    'ExecReload=/bin/kill -HUP $MAINPID',
    'KillMode=mixed',
    `TimeoutStopSec=${STOP_SECONDS}`,
    `WatchdogSec=${WATCHDOG_SECONDS}`,
    'Restart=on-failure',
    'RestartSec=5',
    '# A broken config or command line does not mend itself.',
    'RestartPreventExitStatus=64 78',
    '',
    `User=${facts.user}`,
    `WorkingDirectory=${pathValue(facts.configFolder)}`,
    'StateDirectory=sluice',
    'StateDirectoryMode=0700',
    'UMask=0077',
    ...facts.credentials.map((name) => `LoadCredential=${specifiers(`${name}:${SECRETS}/credentials/${name}`)}`),
    `EnvironmentFile=-${SECRETS}/environment`,
    ...writable.map((folder) => `ReadWritePaths=${quoted(folder)}`),
    '',
    '# What the daemon does not need. ProtectProc is not among it: a lock whose holder cannot be seen would count as free.',
    ...HARDENING,
    '',
    '[Install]',
    'WantedBy=multi-user.target',
  ];
  return `${lines.join('\n')}\n`;
}

/** MemoryDenyWriteExecute is left out, as V8 compiles to machine code. */
const HARDENING = [
  'NoNewPrivileges=yes',
  'CapabilityBoundingSet=',
  'AmbientCapabilities=',
  'ProtectSystem=strict',
  'ProtectHome=read-only',
  'PrivateTmp=yes',
  'PrivateDevices=yes',
  'ProtectClock=yes',
  'ProtectControlGroups=yes',
  'ProtectHostname=yes',
  'ProtectKernelLogs=yes',
  'ProtectKernelModules=yes',
  'ProtectKernelTunables=yes',
  'RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK',
  'RestrictNamespaces=yes',
  'RestrictRealtime=yes',
  'RestrictSUIDSGID=yes',
  'RemoveIPC=yes',
  'LockPersonality=yes',
  'SystemCallArchitectures=native',
  'SystemCallFilter=@system-service',
  'SystemCallFilter=~@privileged @resources',
  'SystemCallErrorNumber=EPERM',
];

function secretsHint({ credentials, variables }: UnitFacts): string[] {
  const hints = [
    ...(credentials.length === 0
      ? []
      : [
          `# Secrets, each in a file of its own that root alone may read: ${SECRETS}/credentials/{${credentials.join(',')}}`,
        ]),
    ...(variables.length === 0
      ? []
      : [`# Secrets as lines NAME=value in ${SECRETS}/environment, mode 0600: ${variables.join(', ')}`]),
  ];
  return [...hints, ''];
}

export function isWithin(folder: string, parent: string): boolean {
  return folder === parent || folder.startsWith(parent.endsWith('/') ? parent : `${parent}/`);
}

/** `%` begins a specifier everywhere. */
function specifiers(text: string): string {
  return text.replaceAll('%', '%%');
}

function quoted(text: string): string {
  const escaped = specifiers(text).replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
  return /^[\w%@:,./+=-]+$/.test(escaped) ? escaped : `"${escaped}"`;
}

/** In a command line `$` begins a variable as well. */
function commandWord(text: string): string {
  const word = quoted(text.replaceAll('$', '$$$$'));
  return text.includes(';') && !word.startsWith('"') ? `"${word}"` : word;
}

/** WorkingDirectory takes the rest of the line as it is, without quotes. */
function pathValue(text: string): string {
  return specifiers(text);
}
