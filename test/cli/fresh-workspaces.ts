import { afterAll, afterEach, beforeAll } from 'vitest';
import { startPostgres, type TestPostgres } from '../postgres/server.js';
import { Workspace } from './workspace.js';

/**
 * One server for a file of tests, and a workspace with a database of its own for each test that asks for it; all is gone
 * after it. To be called at the top of the file.
 * @param name begins the names of databases
 */
export function freshWorkspaces(name: string): () => Promise<Workspace> {
  let postgres: TestPostgres;
  let workspace: Workspace | null = null;
  let databases = 0;
  beforeAll(async () => {
    postgres = await startPostgres({ major: 17 });
  });
  afterEach(async () => {
    await workspace?.remove();
    workspace = null;
  });
  afterAll(() => postgres?.stop());
  return async () => {
    databases += 1;
    const database = `${name}${databases}`;
    await postgres.createDatabase(database);
    workspace = await Workspace.create(postgres, database);
    return workspace;
  };
}
