import { expect, test } from 'vitest';
import {
  addPublicationTablesSql,
  createPublicationSql,
  relistPublicationTablesSql,
  setPublicationOptionsSql,
} from './publication-sql.js';

const users = { schema: 'public', name: 'users' };
const OPTIONS = "publish = 'insert, update, delete, truncate', publish_via_partition_root = true";

test.each([
  {
    name: 'lists stand beside their tables',
    sql: createPublicationSql('pub', [
      { ...users, list: ['id', 'sel"ect'] },
      { schema: 'a', name: 'b', list: null },
    ]),
    is: `create publication "pub" for table "public"."users" ("id", "sel""ect"), "a"."b" with (${OPTIONS});`,
  },
  {
    name: 'generated columns are an option of their own',
    sql: createPublicationSql('pub', [users], true),
    is: `create publication "pub" for table "public"."users" with (${OPTIONS}, publish_generated_columns = stored);`,
  },
  {
    name: 'so they are in a change of the options',
    sql: setPublicationOptionsSql('pub', true),
    is: `alter publication "pub" set (${OPTIONS}, publish_generated_columns = stored);`,
  },
  {
    name: 'a table is added with its list',
    sql: addPublicationTablesSql('pub', [{ ...users, list: ['id'] }]),
    is: 'alter publication "pub" add table "public"."users" ("id");',
  },
  {
    name: 'another list is one statement, whatever the names hold',
    sql: relistPublicationTablesSql('$sluice$', [{ schema: '$sluice1$', name: "it's", list: ['id'] }]),
    is: `do $sluice2$ begin alter publication "$sluice$" drop table "$sluice1$"."it's"; alter publication "$sluice$" add table "$sluice1$"."it's" ("id"); end $sluice2$;`,
  },
])('$name', ({ sql, is }) => {
  expect(sql).toBe(is);
});
