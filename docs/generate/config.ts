import { readFile } from 'node:fs/promises';
import { parse } from 'yaml';
import { anchor, cell, code, codeCell, type Page, page, prose, sentence, tableOf } from './markdown.js';

const SCHEMA = new URL('../../schema/sources.schema.json', import.meta.url);
const EXAMPLE = new URL('../../sources.example.yaml', import.meta.url);

type Node = Readonly<Record<string, unknown>>;

interface Section {
  readonly path: string;
  readonly text: string;
  /** Other places with the same settings. */
  readonly also: string[];
}

/** docs/config.md: every setting of the schema, with the values that sources.example.yaml shows. */
export async function configPage(): Promise<Page> {
  const schema = nodeOf(JSON.parse(await readFile(SCHEMA, 'utf8')));
  const sections = new Sections(schema).read(examplesIn(await readFile(EXAMPLE, 'utf8')));
  const definitions = nodeOf(schema['definitions']);
  return page('config.md', 'schema/sources.schema.json and sources.example.yaml', [
    '# The config file',
    `${prose(textOf(schema, 'description'))} Editors show the same texts while you type; \`sluice schema\` prints the schema, \`sluice validate\`
checks a file. Names in &lt;angle brackets&gt; are yours. A whole file, commented: [sources.example.yaml](../sources.example.yaml).`,
    `Inside of texts \`\${VAR}\`, \`\${VAR:-default}\` and \`\${VAR:?message}\` are replaced from the environment; \`$$\` is a dollar sign. Keys of
the top level that begin with \`x-\` are ignored: a place for anchors.`,
    tableOf(
      ['section'],
      sections.map(({ path }) => [`[${codeCell(path)}](#${anchor(path)})`]),
    ),
    ...sections.map(sectionText),
    `## duration\n\n${prose(textOf(nodeOf(definitions['duration']), 'description'))}`,
    `## secret\n\n${prose(textOf(nodeOf(definitions['secret']), 'description'))}`,
    tableOf(
      ['setting', ''],
      Object.entries(nodeOf(nodeOf(definitions['secret'])['properties'])).map(([name, each]) => [
        code(`{ ${name}: ... }`),
        cell(textOf(nodeOf(each), 'description')),
      ]),
    ),
  ]);
}

function sectionText({ path, text, also }: Section): string {
  const others = also.length === 0 ? '' : `\n\nThe same settings: ${also.map(code).join(', ')}.`;
  return `<a id="${anchor(path)}"></a>\n## ${code(path)}\n\n${text}${others}`;
}

/** Walks the schema; what several places share by reference becomes one section. */
class Sections {
  readonly #root: Node;
  readonly #found: Section[] = [];
  #examples: readonly unknown[] = [];
  readonly #byReference = new Map<string, Section>();

  constructor(root: Node) {
    this.#root = root;
  }

  read(examples: readonly unknown[]): readonly Section[] {
    this.#examples = examples;
    this.#object('top level', '', this.#root, examples);
    return this.#found;
  }

  #object(title: string, prefix: string, node: Node, examples: readonly unknown[]): Section {
    const required: readonly unknown[] = Array.isArray(node['required']) ? node['required'] : [];
    const rows: string[][] = [];
    const inner: (() => void)[] = [];
    const properties = Object.entries(nodeOf(node['properties']));
    // Its place in the page is before what it holds.
    const index = this.#found.length;
    for (const [name, written] of properties) {
      const own = nodeOf(written);
      const path = prefix === '' ? name : `${prefix}.${name}`;
      const values = valuesOf(examples, name);
      const target = this.#resolved(own);
      const section = this.#below(path, own, target, values, inner);
      const [value] = values.filter((each) => each !== '');
      if (value === undefined) throw new Error(`sources.example.yaml does not show ${path}`);
      rows.push([
        `<a id="${anchor(`${title} ${name}`)}"></a>${codeCell(name)}`,
        section === null ? this.#type(own, target) : `[${section.kind}](#${anchor(section.path)})`,
        required.includes(name) ? '**required**' : defaultOf(own),
        section === null ? codeCell(`${name}: ${flow(value)}`) : '',
        cell(sentence(textOf(own, 'description') || textOf(target, 'description'))),
      ]);
    }
    const about = textOf(node, 'description');
    const table = tableOf(['setting', 'type', 'default', 'example', ''], rows);
    const section = { path: title, text: `${about === '' ? '' : `${prose(sentence(about))}\n\n`}${table}`, also: [] };
    this.#found.splice(index, 0, section);
    for (const each of inner) each();
    return section;
  }

  /** What a setting holds that gets a section of its own; null where its value stands in the row. */
  #below(
    path: string,
    own: Node,
    target: Node,
    values: readonly unknown[],
    later: (() => void)[],
  ): { readonly kind: string; readonly path: string } | null {
    if (isSettings(target)) return this.#settings('settings', path, own, target, values, later);
    const variants = target['oneOf'];
    if (Array.isArray(variants)) {
      const titles = variants.map((each) => {
        const variant = this.#resolved(nodeOf(each));
        const type = String(nodeOf(nodeOf(variant['properties'])['type'])['const']);
        const title = `${path} (type: ${type})`;
        later.push(() =>
          this.#object(
            title,
            path,
            variant,
            values.filter((value) => nodeOf(value)['type'] === type),
          ),
        );
        return title;
      });
      return { kind: 'settings, by type', path: titles[0] ?? path };
    }
    const entries = target['additionalProperties'];
    const items = target['items'];
    const [element, next, elements, kind] =
      typeof entries === 'object'
        ? [nodeOf(entries), `${path}.<name>`, values.flatMap((value) => Object.values(nodeOf(value))), 'by name']
        : [nodeOf(items), `${path}[]`, values.flat(), 'list'];
    const resolved = this.#resolved(element);
    if (isSettings(resolved)) return this.#settings(kind, next, element, resolved, elements, later);
    return Array.isArray(resolved['oneOf']) ? this.#below(next, element, resolved, elements, later) : null;
  }

  #settings(kind: string, path: string, own: Node, target: Node, values: readonly unknown[], later: (() => void)[]) {
    const reference = textOf(own, '$ref');
    const known = this.#byReference.get(reference);
    if (known !== undefined) {
      known.also.push(path);
      return { kind, path: known.path };
    }
    if (reference !== '') this.#byReference.set(reference, { path, text: '', also: [] });
    later.push(() => {
      // What is not shown in this place may be shown in another that shares the settings.
      const key = path.slice(path.lastIndexOf('.') + 1);
      const section = this.#object(path, path, target, [...values, ...below(this.#examples, key)]);
      const early = this.#byReference.get(reference);
      section.also.push(...(early?.also ?? []));
      if (reference !== '') this.#byReference.set(reference, section);
    });
    return { kind, path };
  }

  #resolved(node: Node): Node {
    const name = textOf(node, '$ref').replace('#/definitions/', '');
    return name === '' ? node : nodeOf(nodeOf(this.#root['definitions'])[name]);
  }

  #type(own: Node, target: Node): string {
    const reference = textOf(own, '$ref');
    if (reference.endsWith('/duration')) return '[duration](#duration)';
    if (reference.endsWith('/secret')) return '[secret](#secret)';
    if (target['const'] !== undefined) return codeCell(String(target['const']));
    const choices = target['enum'];
    if (Array.isArray(choices)) return choices.map((each) => codeCell(String(each))).join(', ');
    switch (target['type']) {
      case 'boolean':
        return '`true`, `false`';
      case 'integer':
      case 'number':
        return `${target['type']}${rangeOf(target)}`;
      case 'array': {
        const items = nodeOf(target['items']);
        return `list of ${Array.isArray(items['enum']) ? items['enum'].map((each) => codeCell(String(each))).join(', ') : 'texts'}`;
      }
      case 'object': {
        const entries = nodeOf(target['additionalProperties']);
        const what = textOf(entries, 'patternErrorMessage');
        return `by name: ${textOf(entries, '$ref').endsWith('/secret') ? '[secret](#secret)' : cell(what === '' ? 'text' : what)}`;
      }
      default: {
        const what = textOf(target, 'patternErrorMessage');
        return what === '' ? 'text' : `text: ${cell(what)}`;
      }
    }
  }
}

function rangeOf(node: Node): string {
  const { minimum, maximum, exclusiveMinimum } = node;
  const low =
    minimum !== undefined ? `from ${minimum}` : exclusiveMinimum !== undefined ? `above ${exclusiveMinimum}` : '';
  const high = maximum === undefined ? '' : `to ${maximum}`;
  return [low, high]
    .filter((part) => part !== '')
    .map((part) => ` ${part}`)
    .join('');
}

function defaultOf(node: Node): string {
  return node['default'] === undefined ? 'none' : codeCell(flow(node['default']));
}

/** A value on one line as YAML has it. */
function flow(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(flow).join(', ')}]`;
  if (typeof value === 'object' && value !== null) {
    const parts = Object.entries(value).map(([key, each]) => `${key}: ${flow(each)}`);
    return parts.length === 0 ? '{}' : `{ ${parts.join(', ')} }`;
  }
  if (typeof value !== 'string') return String(value);
  return value === '' || /^[\s"'*&!%@`#{[|>]|: |[,{}[\]]/.test(value) ? JSON.stringify(value) : value;
}

function isSettings(node: Node): boolean {
  // A secret is written as one of its keys, and has a section of its own.
  return node['properties'] !== undefined && node['title'] !== 'Secret';
}

function valuesOf(examples: readonly unknown[], name: string): readonly unknown[] {
  return examples.flatMap((each) => {
    const value = nodeOf(each)[name];
    return value === undefined ? [] : [value];
  });
}

/** The values of a key at any depth. */
function below(value: unknown, key: string): readonly unknown[] {
  if (Array.isArray(value)) return value.flatMap((each) => below(each, key));
  return Object.entries(nodeOf(value)).flatMap(([name, each]) => [
    ...(name === key ? [each] : []),
    ...below(each, key),
  ]);
}

/** The example, and each kind of state that stands in it as a comment. */
function examplesIn(text: string): readonly unknown[] {
  const commented = [...text.matchAll(/(?:^ *#: ?.*\n)+/gm)]
    .map(([block]) => block.replace(/^ *#: ?/gm, ''))
    .flatMap((block) => block.split(/^(?=\S)/m));
  return [parse(text, { merge: true }), ...commented.map((block) => parse(block))];
}

function nodeOf(value: unknown): Node {
  return typeof value === 'object' && value !== null ? Object.fromEntries(Object.entries(value)) : {};
}

function textOf(node: Node, key: string): string {
  const value = node[key];
  return typeof value === 'string' ? value : '';
}
