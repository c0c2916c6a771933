import { S3Error } from './s3-error.js';

export interface ListingQuery {
  readonly prefix: string;
  readonly delimiter: string;
  readonly startAfter: string;
  readonly continuationToken: string | null;
  readonly maxKeys: number;
}

export interface ListingPage<Item> {
  readonly items: readonly Item[];
  /** Everything behind a prefix up to the next delimiter counts as one entry. */
  readonly commonPrefixes: readonly string[];
  readonly nextToken: string | null;
}

/** Where a page ended: behind a key, or behind all keys that begin with a common prefix. */
type Mark = { readonly kind: 'key' | 'prefix'; readonly text: string };

/**
 * One page of a listing.
 * @param ordered everything in the bucket, in the order of the keys' UTF-8 bytes
 * @throws S3Error InvalidArgument for a token that no page gave
 * @see Amazon S3 API, ListObjectsV2
 */
export function listPage<Item extends { readonly key: string }>(
  ordered: readonly Item[],
  query: ListingQuery,
): ListingPage<Item> {
  // A token comes from a listing that obeyed start-after already.
  const mark: Mark =
    query.continuationToken === null ? { kind: 'key', text: query.startAfter } : parseToken(query.continuationToken);
  const items: Item[] = [];
  const commonPrefixes: string[] = [];
  let last: Mark | null = null;
  for (const item of ordered) {
    if (!item.key.startsWith(query.prefix) || !isBehind(item.key, mark)) continue;
    if (last?.kind === 'prefix' && item.key.startsWith(last.text)) continue;
    if (items.length + commonPrefixes.length >= query.maxKeys) {
      return { items, commonPrefixes, nextToken: last === null ? null : makeToken(last) };
    }
    const at = query.delimiter === '' ? -1 : item.key.indexOf(query.delimiter, query.prefix.length);
    if (at >= 0) {
      last = { kind: 'prefix', text: item.key.slice(0, at + query.delimiter.length) };
      commonPrefixes.push(last.text);
    } else {
      last = { kind: 'key', text: item.key };
      items.push(item);
    }
  }
  return { items, commonPrefixes, nextToken: null };
}

function isBehind(key: string, mark: Mark): boolean {
  if (mark.kind === 'prefix' && key.startsWith(mark.text)) return false;
  return Buffer.compare(Buffer.from(key), Buffer.from(mark.text)) > 0;
}

function makeToken(mark: Mark): string {
  return Buffer.from(`${mark.kind}:${mark.text}`).toString('base64url');
}

function parseToken(token: string): Mark {
  const [, kind, text] = /^(key|prefix):(.*)$/s.exec(Buffer.from(token, 'base64url').toString('utf8')) ?? [];
  if ((kind !== 'key' && kind !== 'prefix') || text === undefined) {
    throw new S3Error('InvalidArgument', { ArgumentName: 'continuation-token' });
  }
  return { kind, text };
}
