/** Version of every JSON document on stdout. It rises when a field changes its meaning or goes away, not when one is added. */
export const JSON_FORMAT_VERSION = 1;

/** One JSON document, `format_version` first, ending in a line break. */
export function jsonText(body: Readonly<Record<string, unknown>>): string {
  return `${JSON.stringify({ format_version: JSON_FORMAT_VERSION, ...body }, null, 2)}\n`;
}
