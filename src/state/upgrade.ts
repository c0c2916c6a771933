/**
 * How documents of older formats become ones of the present format, a step for each format. What a step does not know it
 * leaves as it is: whether the outcome is a whole document is for the check to say.
 */

type Fields = Readonly<Record<string, unknown>>;

/** Format 1 had two keys that were not in snake_case, in the schedule of a table. */
export function toFormat2(document: Fields): Fields {
  const sources = mapFields(document['sources'], (source) =>
    withField(source, 'tables', (tables) =>
      mapFields(tables, (table) =>
        withField(table, 'schedule', (schedule) => renamed(schedule, { everyMs: 'every_ms', jitterMs: 'jitter_ms' })),
      ),
    ),
  );
  return { ...document, format_version: 2, sources };
}

function mapFields(value: unknown, map: (each: unknown) => unknown): unknown {
  if (!isFields(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, map(each)]));
}

function withField(value: unknown, key: string, map: (each: unknown) => unknown): unknown {
  return isFields(value) && Object.hasOwn(value, key) ? { ...value, [key]: map(value[key]) } : value;
}

function renamed(value: unknown, names: Readonly<Record<string, string>>): unknown {
  if (!isFields(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [names[key] ?? key, each]));
}

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
