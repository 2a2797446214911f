import type { Role } from '../../activities/roles.ts';

/** What a page of requests and figures holds, in its order. */
export type PagePart =
  | {
      readonly kind: 'request';
      readonly name: string;
      /** An owner unless the page says otherwise: `# moneyBack, by accountant`. */
      readonly role: Role;
      readonly method: string;
      readonly path: string;
      readonly body: string;
    }
  | { readonly kind: 'table'; readonly head: readonly string[]; readonly rows: readonly (readonly string[])[] }
  /** `Answer:` and then the status with the code, or with the state of a write that waits; a request without it succeeds. */
  | { readonly kind: 'answer'; readonly answer: string }
  /** `Posted: the mirror of` the entry of an earlier request, instead of a table of its lines. */
  | { readonly kind: 'mirror'; readonly of: string };

export type PageRequest = Extract<PagePart, { kind: 'request' }>;
export type PageTable = Extract<PagePart, { kind: 'table' }>;

const REQUEST = /^# (\w+)(?:, by (\w+))?\n(GET|POST|PATCH) (\S+)\n?([\s\S]*)$/;
const PARTS = /^```http\n([\s\S]*?)^```$|((?:^\|.*\n)+)|^Answer: `(.+)`$|^Posted: the mirror of `(\w+)`$/gm;

/** Every `http` block, table, announced answer and mirror of the page. */
export function partsOf(page: string): PagePart[] {
  return [...page.matchAll(PARTS)].map(([, block, table, answer, mirror]): PagePart => {
    if (block !== undefined) return requestOf(block);
    if (table !== undefined) return tableOf(table);
    return mirror === undefined ? { kind: 'answer', answer: answer ?? '' } : { kind: 'mirror', of: mirror };
  });
}

function requestOf(block: string): PagePart {
  const [, name = '', role = 'owner', method = '', path = '', body = ''] = REQUEST.exec(block) ?? [];
  if (name === '') throw new Error(`A request without a name, or that cannot be read:\n${block}`);
  return { kind: 'request', name, role: role as Role, method, path, body: body.trim() };
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

/** Each request of the page with what stands between it and the next one. */
export type Step = { readonly request: PageRequest; readonly shown: readonly PagePart[] };

export function stepsOf(parts: readonly PagePart[]): Step[] {
  const steps: { request: PageRequest; shown: PagePart[] }[] = [];
  for (const part of parts) {
    if (part.kind === 'request') steps.push({ request: part, shown: [] });
    else steps.at(-1)?.shown.push(part);
  }
  return steps;
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
