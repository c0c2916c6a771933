/** What doctor says about one thing. Gathered input is judged by pure functions; `fixSql` can be pasted. */
export interface Finding {
  readonly level: 'error' | 'warning' | 'info';
  readonly code: string;
  /** `source`, `source:schema.table`, `source:slot`, `source:publication` or `destinations.<name>`. */
  readonly address: string;
  readonly message: string;
  /** Why it matters, one sentence. */
  readonly why: string;
  readonly fixSql: string | null;
  readonly needsRestart: boolean;
}
