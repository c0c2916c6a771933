/**
 * A report as JSON wants it: the keys of its objects in snake_case, all the way down. Only for data whose keys are
 * field names; where keys are people's names (tables, settings), map by hand. Milliseconds become whole numbers.
 */
export function snakeKeys(value: object): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(value).map(([key, each]) => [
      snakeCase(key),
      typeof each === 'number' && key.endsWith('Ms') ? Math.round(each) : deep(each),
    ]),
  );
}

function deep(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(deep);
  return typeof value === 'object' && value !== null ? snakeKeys(value) : value;
}

function snakeCase(key: string): string {
  return key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
