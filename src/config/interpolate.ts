export interface Interpolation {
  /** The text with variables replaced; where something is wrong, the text as it was. */
  readonly text: string;
  /** Names of the variables in it, in order. */
  readonly variables: readonly string[];
  readonly mistakes: readonly string[];
}

/** `$$`, or `${` with what follows up to the closing brace; a missing brace or a bad name is told apart below. */
const REFERENCE = /\$\$|\$\{([^}]*)(\}?)/g;
const BODY = /^([A-Za-z_][A-Za-z0-9_]*)(?:(:-|:\?)([\s\S]*))?$/;

/**
 * Replaces `${VAR}`, `${VAR:-default}` (unset or empty) and `${VAR:?message}` (an error where unset or empty) in a text;
 * `$$` is a dollar sign. What was put in is not looked at again.
 */
export function interpolate(text: string, env: Readonly<Record<string, string | undefined>>): Interpolation {
  const variables: string[] = [];
  const mistakes: string[] = [];
  const replaced = text.replaceAll(REFERENCE, (whole: string, body: string | undefined, end: string | undefined) => {
    if (body === undefined) return '$';
    const [, name, operator, operand = ''] = (end === '}' ? BODY.exec(body) : null) ?? [];
    if (name === undefined) {
      mistakes.push(
        `malformed variable; expected \${NAME}, \${NAME:-default} or \${NAME:?message}, and $$ for a dollar sign`,
      );
      return whole;
    }
    variables.push(name);
    const value = Object.hasOwn(env, name) ? env[name] : undefined;
    if (operator === ':-') return value === undefined || value === '' ? operand : value;
    if (operator === ':?' && (value === undefined || value === '')) {
      mistakes.push(
        `variable ${name} is ${value === undefined ? 'not set' : 'empty'}${operand === '' ? '' : `: ${operand}`}`,
      );
      return whole;
    }
    if (value === undefined) {
      mistakes.push(`variable ${name} is not set; set it, or give a default: \${${name}:-...}`);
      return whole;
    }
    return value;
  });
  return { text: mistakes.length === 0 ? replaced : text, variables, mistakes };
}
