import { DuckDBInstance } from '@duckdb/node-api';
import { serve } from '../../dist/thread/call.js';

/** A thread whose DuckDB is at work when it is to end. */
serve({
  async begin(rows) {
    const instance = await DuckDBInstance.create(':memory:');
    const connection = await instance.connect();
    void connection.run(`SELECT count(*) FROM range(${rows}) AS a(n) WHERE hash(n) = 0`);
  },
});
