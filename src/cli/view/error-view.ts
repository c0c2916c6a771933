import { causeText, type SluiceError, toPlain } from '../../error/sluice-error.js';
import { ConfigRefused } from '../config-refused.js';
import { type Paint, printable } from '../terminal.js';
import { jsonText } from './json.js';

const INDENT = '  ';

/**
 * One block for people: `error CODE: message`, then place, cause and hint on lines of their own where there are any.
 * @param debug adds the stack traces of the error and of its causes
 */
export function errorText(error: SluiceError, paint: Paint, debug: boolean): string {
  const lines = [`${paint('red', `error ${error.code}`)}: ${printable(error.message)}`];
  // At the start of the line, where editors and CI find `file:line:column`.
  if (error instanceof ConfigRefused) lines.push(error.text.trimEnd());
  if (error.address !== undefined && !error.message.includes(error.address)) {
    lines.push(`${INDENT}${paint('bold', 'at')}:    ${printable(error.address)}`);
  }
  const cause = describeCause(error.cause);
  if (cause !== null && !error.message.includes(cause))
    lines.push(`${INDENT}${paint('bold', 'cause')}: ${printable(cause)}`);
  if (error.hint !== undefined) {
    const [first = '', ...more] = error.hint.split('\n');
    lines.push(
      `${INDENT}${paint('bold', 'hint')}:  ${first}`,
      ...more.map((line) => `${INDENT}       ${line}`.trimEnd()),
    );
  }
  if (debug) lines.push(...indented(stackText(error)));
  return `${lines.join('\n')}\n`;
}

export function errorJson(error: SluiceError): string {
  return jsonText({
    error: { ...toPlain(error), ...(error instanceof ConfigRefused ? { problems: error.problems } : {}) },
  });
}

/**
 * What lies behind an error, outermost first: `could not connect: connect ECONNREFUSED 127.0.0.1:5432`. Node reports a
 * name with several addresses as an AggregateError without a message; then its parts speak.
 */
export function describeCause(cause: unknown): string | null {
  const parts: string[] = [];
  let current: unknown = cause;
  // A chain longer than this is a cycle or of no use to a reader.
  for (let depth = 0; depth < 5 && current !== undefined && current !== null; depth += 1) {
    const text =
      current instanceof AggregateError && current.message === '' ? aggregateText(current) : causeText(current);
    if (text !== '' && !parts.some((part) => part.includes(text))) parts.push(text);
    current = current instanceof Error ? current.cause : undefined;
  }
  return parts.length === 0 ? null : parts.join(': ');
}

function aggregateText(error: AggregateError): string {
  return error.errors.map((each: unknown) => causeText(each)).join('; ');
}

function stackText(error: Error): string {
  const stacks: string[] = [];
  let current: unknown = error;
  for (let depth = 0; depth < 5 && current instanceof Error; depth += 1) {
    stacks.push(`${depth === 0 ? '' : 'caused by: '}${current.stack ?? current.message}`);
    current = current.cause;
  }
  return stacks.join('\n');
}

function indented(text: string): string[] {
  return text.split('\n').map((line) => `${INDENT}${line}`.trimEnd());
}
