/** What a page of requests and figures holds, in its order. */
export type PagePart =
  | {
      readonly kind: 'request';
      readonly name: string;
      readonly method: string;
      readonly path: string;
      readonly body: string;
    }
  | { readonly kind: 'table'; readonly head: readonly string[]; readonly rows: readonly (readonly string[])[] }
  /** `Answer:` and then status and code; a request without it succeeds. */
  | { readonly kind: 'refusal'; readonly answer: string };

const REQUEST = /^# (\w+)\n(GET|POST|PATCH) (\S+)\n?([\s\S]*)$/;
const PARTS = /^```http\n([\s\S]*?)^```$|((?:^\|.*\n)+)|^Answer: `(.+)`$/gm;

/** Every `http` block, table and announced refusal of the page. */
export function partsOf(page: string): PagePart[] {
  return [...page.matchAll(PARTS)].map(([, block, table, answer]): PagePart => {
    if (block !== undefined) return requestOf(block);
    if (table !== undefined) return tableOf(table);
    return { kind: 'refusal', answer: answer ?? '' };
  });
}

function requestOf(block: string): PagePart {
  const [, name = '', method = '', path = '', body = ''] = REQUEST.exec(block) ?? [];
  if (name === '') throw new Error(`A request without a name, or that cannot be read:\n${block}`);
  return { kind: 'request', name, method, path, body: body.trim() };
}

function tableOf(text: string): PagePart {
  const [head = [], , ...rows] = text
    .trim()
    .split('\n')
    .map((line) =>
      line
        .slice(1, -1)
        .split('|')
        .map((cell) => cell.trim()),
    );
  return { kind: 'table', head, rows };
}

/** `1,466.79` → 146679; an empty cell is nothing. */
export function minorUnits(cell: string): number {
  if (cell === '') return 0;
  if (!/^\d{1,3}(,\d{3})*\.\d{2}$/.test(cell)) throw new Error(`No amount such as 1,466.79: ${cell}`);
  return Number(cell.replaceAll(/[,.]/g, ''));
}

/** The text with `{name.member.0.member}` replaced by what the answer to the request of that name says there. */
export function filledIn(text: string, answers: ReadonlyMap<string, unknown>): string {
  return text.replaceAll(/\{(\w+)\.([\w.]+)\}/g, (place, name: string, path: string) => {
    const value = memberAt(answers.get(name), path);
    if (typeof value !== 'string') throw new Error(`${place} names no text of an answer`);
    return value;
  });
}

export function memberAt(value: unknown, path: string): unknown {
  return path.split('.').reduce((inner, member) => (inner as Record<string, unknown> | undefined)?.[member], value);
}
