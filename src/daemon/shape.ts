import { fields, list, notUnderstood, number, text } from './control-protocol.js';

/** Reads one value of a JSON document. @throws SluiceError DAEMON_UNREACHABLE where it is another one */
export type Shape<T> = (value: unknown) => T;

export const aText: Shape<string> = text;
export const aNumber: Shape<number> = number;

export const aFlag: Shape<boolean> = (value) => {
  if (typeof value !== 'boolean') throw notUnderstood();
  return value;
};

export function nullable<T>(shape: Shape<T>): Shape<T | null> {
  return (value) => (value === null ? null : shape(value));
}

/** Of a field that may be missing. */
export function optional<T>(shape: Shape<T>): Shape<T | undefined> {
  return (value) => (value === undefined ? undefined : shape(value));
}

export function listOf<T>(shape: Shape<T>): Shape<readonly T[]> {
  return (value) => list(value).map(shape);
}

export function oneOf<const T extends string>(choices: readonly T[]): Shape<T> {
  return (value) => {
    const found = choices.find((choice) => choice === value);
    if (found === undefined) throw notUnderstood();
    return found;
  };
}

/**
 * Every field of the type has its shape, so that one that is added later is not forgotten here; others are left out. The
 * fields keep their order.
 */
export function object<T extends object>(shapes: { readonly [Key in keyof T]-?: Shape<T[Key]> }): Shape<T> {
  const known = new Map<string, Shape<unknown>>(Object.entries<Shape<unknown>>(shapes));
  return (value) => {
    const found = new Map(Object.entries(fields(value)));
    for (const [key, shape] of known) if (!found.has(key)) shape(undefined);
    const read = [...found].flatMap(([key, each]): [string, unknown][] => {
      const shape = known.get(key);
      return shape === undefined ? [] : [[key, shape(each)]];
    });
    return Object.fromEntries(read) as T;
  };
}
