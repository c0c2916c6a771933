import type { Command } from '../command.js';
import { apply } from './apply.js';
import { cdcSetupSql } from './cdc-setup-sql.js';
import { daemon } from './daemon.js';
import { doctor } from './doctor.js';
import { ls } from './ls.js';
import { optimize } from './optimize.js';
import { plan } from './plan.js';
import { query } from './query.js';
import { resync } from './resync.js';
import { schema } from './schema.js';
import { show } from './show.js';
import { status } from './status.js';
import { sync } from './sync.js';
import { vacuum } from './vacuum.js';
import { validate } from './validate.js';
import { verify } from './verify.js';
import { version } from './version.js';

/** Every command, in the order of help: first what a new user needs, then what keeps things running. */
export const COMMANDS: readonly Command[] = [
  validate,
  plan,
  show,
  apply,
  sync,
  status,
  ls,
  resync,
  verify,
  optimize,
  vacuum,
  doctor,
  cdcSetupSql,
  query,
  schema,
  daemon,
  version,
];
