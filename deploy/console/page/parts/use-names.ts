import { useEffect, useState } from 'preact/hooks';
import { ask } from '../api.ts';

type Named = { readonly id: string; readonly code?: string; readonly name: string };
type Page = { readonly items: readonly Named[]; readonly nextCursor: string | null };

/** Of more than these pages have, some are shown without their names. */
const MAX_PAGES = 5;

/** The names of these customers, by their IDs, as far as they are found; those who may not read customers see IDs. */
export function useCustomerNames(ids: readonly string[]): ReadonlyMap<string, string> {
  return useNames('/api/customers', ids, ({ id }) => id);
}

/** The names of these accounts, by their codes. */
export function useAccountNames(codes: readonly string[]): ReadonlyMap<string, string> {
  return useNames('/api/ledger/accounts', codes, ({ code }) => code);
}

function useNames(
  path: string,
  sought: readonly string[],
  byWhat: (one: Named) => string | undefined,
): ReadonlyMap<string, string> {
  const [names, setNames] = useState<ReadonlyMap<string, string>>(new Map());
  const wanted = JSON.stringify(sought);
  useEffect(() => {
    const leaving = new AbortController();
    const all = async () => setNames(await find(path, new Set(JSON.parse(wanted)), byWhat, leaving.signal));
    if (wanted !== '[]') void all().catch(() => undefined);
    return () => leaving.abort();
  }, [path, wanted]);
  return names;
}

async function find(
  path: string,
  wanted: ReadonlySet<string>,
  byWhat: (one: Named) => string | undefined,
  signal: AbortSignal,
): Promise<ReadonlyMap<string, string>> {
  const found = new Map<string, string>();
  let cursor: string | null = '';
  for (let page = 0; page < MAX_PAGES && cursor !== null && found.size < wanted.size; page += 1) {
    const query: string = cursor === '' ? '' : `&cursor=${encodeURIComponent(cursor)}`;
    const { items, nextCursor }: Page = await ask(`${path}?limit=200${query}`, { signal });
    for (const one of items) {
      const by = byWhat(one);
      if (by !== undefined && wanted.has(by)) found.set(by, one.name);
    }
    cursor = nextCursor;
  }
  return found;
}
