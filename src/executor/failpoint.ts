/**
 * Places where a test may stop the process: `SLUICE_FAILPOINT=after_data_commit` kills it there with SIGKILL, as a crash
 * would. Without the variable this is one comparison.
 */
export type Failpoint =
  | 'before_data_commit'
  | 'after_data_commit'
  | 'after_confirm'
  | 'before_load_finish'
  | 'after_load_finish'
  | 'before_state_write'
  | 'after_state_write';

const wanted = process.env['SLUICE_FAILPOINT'];

export async function failpoint(name: Failpoint): Promise<void> {
  if (wanted !== name) return;
  process.kill(process.pid, 'SIGKILL');
  // The signal is not delivered at once; nothing more may happen meanwhile.
  await new Promise(() => undefined);
}
