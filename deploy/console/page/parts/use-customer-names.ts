import { useEffect, useState } from 'preact/hooks';
import { ask } from '../api.ts';

type Customers = {
  readonly items: readonly { readonly id: string; readonly name: string }[];
  readonly nextCursor: string | null;
};

/** Of more customers than these pages have, some are shown by their IDs. */
const MAX_PAGES = 5;

/** The names of these customers, as far as they are found; those who may not read customers see IDs. */
export function useCustomerNames(ids: readonly string[]): ReadonlyMap<string, string> {
  const [names, setNames] = useState<ReadonlyMap<string, string>>(new Map());
  const wanted = ids.join(' ');
  useEffect(() => {
    const leaving = new AbortController();
    if (wanted !== '') void find(new Set(wanted.split(' ')), leaving.signal).then(setNames, () => undefined);
    return () => leaving.abort();
  }, [wanted]);
  return names;
}

async function find(wanted: ReadonlySet<string>, signal: AbortSignal): Promise<ReadonlyMap<string, string>> {
  const found = new Map<string, string>();
  let cursor: string | null = '';
  for (let page = 0; page < MAX_PAGES && cursor !== null && found.size < wanted.size; page += 1) {
    const query: string = cursor === '' ? '' : `&cursor=${encodeURIComponent(cursor)}`;
    const { items, nextCursor }: Customers = await ask(`/api/customers?limit=200${query}`, { signal });
    for (const { id, name } of items) if (wanted.has(id)) found.set(id, name);
    cursor = nextCursor;
  }
  return found;
}
