import type { Command } from '../command.js';
import { apply } from './apply.js';
import { cdcSetupSql } from './cdc-setup-sql.js';
import { complete } from './complete.js';
import { completion } from './completion.js';
import { daemon } from './daemon.js';
import { discover } from './discover.js';
import { doctor } from './doctor.js';
import { fmt } from './fmt.js';
import { init } from './init.js';
import { logs } from './logs.js';
import { ls } from './ls.js';
import { optimize } from './optimize.js';
import { pause } from './pause.js';
import { plan } from './plan.js';
import { query } from './query.js';
import { reload } from './reload.js';
import { resume } from './resume.js';
import { resync } from './resync.js';
import { runs } from './runs.js';
import { schema } from './schema.js';
import { show } from './show.js';
import { stateExport } from './state-export.js';
import { stateForget } from './state-forget.js';
import { stateImport } from './state-import.js';
import { stateList } from './state-list.js';
import { stateMigrate } from './state-migrate.js';
import { stateShow } from './state-show.js';
import { stateUnlock } from './state-unlock.js';
import { status } from './status.js';
import { sync } from './sync.js';
import { vacuum } from './vacuum.js';
import { validate } from './validate.js';
import { verify } from './verify.js';
import { version } from './version.js';

/** Every command, in the order of help: first what a new user needs, then what keeps things running. */
export const COMMANDS: readonly Command[] = [
  init,
  discover,
  fmt,
  validate,
  plan,
  show,
  apply,
  sync,
  status,
  ls,
  runs,
  resync,
  pause,
  resume,
  verify,
  optimize,
  vacuum,
  doctor,
  cdcSetupSql,
  query,
  stateList,
  stateShow,
  stateExport,
  stateImport,
  stateForget,
  stateUnlock,
  stateMigrate,
  schema,
  daemon,
  reload,
  logs,
  completion,
  complete,
  version,
];
