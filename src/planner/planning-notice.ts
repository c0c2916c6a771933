import type { Notice } from './change.js';

/** A notice while the plan is made. */
export interface PlanningNotice extends Notice {
  /** It rests on what the catalog says of columns, patterns and publications: nothing to tell where nobody looked. */
  readonly restsOn?: 'catalog';
}

/** The notices as the plan has them. @param catalogSeen false: the catalog was made up from what was applied */
export function toldNotices(notices: readonly PlanningNotice[], catalogSeen: boolean): readonly Notice[] {
  return notices
    .filter(({ restsOn }) => catalogSeen || restsOn === undefined)
    .map(({ address, message }) => ({ address, message }));
}
