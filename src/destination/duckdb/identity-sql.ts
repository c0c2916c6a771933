import type { LogicalType } from '../../batch/logical-type.js';

/**
 * What two values have to share to be the same. DuckDB's `=` takes some for equal that are not: 0 and -0, one month and
 * thirty days. Every NaN counts as the same value, as Postgres has no more than one.
 */

/** Longer texts are compared by their beginning, length and SHA-256, so that a comparison of large values fits in memory. */
const WHOLE_CHARACTERS = 128;
const SHOWN_CHARACTERS = 64;

/** SQL of a value for {@link differs} and {@link groupedIdentity}: small, and the same for the same values only. */
export function identityOf(type: LogicalType, expression: string): string {
  switch (type.kind) {
    case 'varchar':
    case 'json':
      return compactText(expression);
    case 'blob':
      return compactText(`${expression}::VARCHAR`);
    case 'interval':
    case 'timetz':
      return `${expression}::VARCHAR`;
    case 'list':
      // As JSON of texts, where an element cannot be taken for two; every type's text tells its values apart.
      return compactText(`to_json(list_transform(${expression}, lambda e: e::VARCHAR))::VARCHAR`);
    default:
      return expression;
  }
}

/** SQL that is true exactly where two identities ({@link identityOf}) are not the same; otherwise false or NULL. */
export function differs(type: LogicalType, left: string, right: string): string {
  const distinct = `${left} IS DISTINCT FROM ${right}`;
  // Only zeros are equal without being the same.
  return isFloat(type) ? `(${distinct} OR (${left} = 0 AND signbit(${left}) <> signbit(${right})))` : `(${distinct})`;
}

/** SQL of an identity that `=` and GROUP BY can tell apart as well. */
export function groupedIdentity(type: LogicalType, expression: string): string {
  return isFloat(type) ? `${expression}::VARCHAR` : identityOf(type, expression);
}

function isFloat(type: LogicalType): boolean {
  return type.kind === 'float32' || type.kind === 'float64';
}

function compactText(text: string): string {
  return `CASE WHEN length(${text}) > ${WHOLE_CHARACTERS} THEN concat(left(${text}, ${SHOWN_CHARACTERS}), '... (', length(${text}), ' characters, sha256 ', sha256(${text}), ')') ELSE ${text} END`;
}
