/**
 * Places where a test may stop the process: `SLUICE_FAILPOINT=after_data_commit` kills it there with SIGKILL, as a crash
 * would; `after_data_commit@3` when it comes there for the third time. Without the variable this is one comparison.
 */
export type Failpoint =
  | 'before_data_commit'
  | 'after_data_commit'
  | 'after_confirm'
  | 'after_load_part'
  | 'after_changed_part'
  | 'after_load_rebase'
  | 'in_spill'
  | 'before_load_finish'
  | 'in_swap'
  | 'after_load_finish'
  | 'before_compare'
  | 'in_publish'
  | 'after_lake_upload'
  | 'after_ledger'
  | 'after_table_commit'
  | 'after_compaction_upload'
  | 'after_compaction'
  | 'in_lock_write'
  | 'in_lock_removal'
  | 'before_state_write'
  | 'in_state_write'
  | 'after_state_write';

const [wanted, times = '1'] = process.env['SLUICE_FAILPOINT']?.split('@') ?? [];
let left = Number(times);

export async function failpoint(name: Failpoint): Promise<void> {
  if (wanted !== name) return;
  left -= 1;
  if (left > 0) return;
  process.kill(process.pid, 'SIGKILL');
  // The signal is not delivered at once; nothing more may happen meanwhile.
  await new Promise(() => undefined);
}
