/** A page of a list, newest first unless the list says otherwise. */
export type Page<Item> = {
  readonly items: readonly Item[];
  /** Null on the last page. Give it as `cursor`, with the same filters, to go on from here. */
  readonly nextCursor: string | null;
};

/** A list: iterate over its items, or over its pages. Nothing is read before that. Each iteration begins at the first page. */
export type Pages<Item> = AsyncIterable<Item> & {
  pages(): AsyncIterable<Page<Item>>;
  /** The first page alone. */
  first(): Promise<Page<Item>>;
};

/** Whether a body has the form of a page: without it, an iteration would have no end. */
export function isPage(body: unknown): body is Page<unknown> {
  const { items, nextCursor } = body as Partial<Page<unknown>>;
  return Array.isArray(items) && (nextCursor === null || typeof nextCursor === 'string');
}

export function pagesOf<Item>(
  load: (cursor: string | undefined) => Promise<Page<Item>>,
  cursor: string | undefined,
): Pages<Item> {
  async function* pages() {
    let next: string | null | undefined = cursor;
    while (next !== null) {
      const page: Page<Item> = await load(next);
      yield page;
      next = page.nextCursor;
    }
  }
  return {
    async *[Symbol.asyncIterator]() {
      for await (const { items } of pages()) yield* items;
    },
    pages,
    first: () => load(cursor),
  };
}
