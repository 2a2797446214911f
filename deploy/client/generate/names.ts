/**
 * How the methods of the client are named, by what the OpenAPI document and the operations say already:
 *
 * - A write is a method of the collection that its resource is read at, named by the verb that the operation begins with:
 *   `createPayment` is `payments.create`, `executePayroll` is `payRuns.execute`.
 * - A read of a list is `payments.list`, of one of its items `payments.get`.
 * - What is below an item is called by its name: `accounts.lines`, `events.redeliver`.
 * - Any other read is a report: `reports.trialBalance`. A single word says too little, so the part of the API goes before it.
 */
export type MethodName = {
  /** Undefined for a method of the client itself. */
  readonly group: string | undefined;
  readonly method: string;
};

/** Groups that the last segment of their path names badly. */
const OTHER_GROUPS: Readonly<Record<string, string>> = {
  '/api/ledger/entries': 'journalEntries',
};

/** Methods that the rules name badly. */
export const OTHER_NAMES: Readonly<Record<string, string>> = {
  'POST /api/workflows/{name}/trigger': 'workflows.trigger',
  'POST /api/invoices/{invoiceId}/write-off': 'invoices.writeOff',
  'POST /api/invoices/{invoiceId}/recover-write-off': 'invoices.recoverWriteOff',
  'GET /api/workflows/triggers': 'workflows.listTriggers',
  'GET /api/workflows/triggers/{triggerId}': 'workflows.getTrigger',
  'GET /api/me': 'me',
  'GET /api/company/settings': 'settings.get',
  'GET /api/company/settings/history': 'settings.history',
  'GET /api/company/webhook-secret': 'webhook.secret',
  'POST /api/company/webhook-test': 'webhook.test',
};

/** Methods that `deploy/client/src/client.ts` adds. */
const ADDED_BY_HAND = [
  ...['events.follow', 'writes.resolve', 'writes.submit'],
  ...['batches.submit', 'batches.validate', 'batches.wait', 'batches.results', 'batches.resultsText'],
];

export type NamedRoute = {
  readonly method: string;
  /** With `{name}` for each parameter. */
  readonly path: string;
  /** Of a write: its operation, and the path of the collection that its resource is read at. */
  readonly write?: { readonly operation: string; readonly collection: string } | undefined;
  readonly isList: boolean;
};

export function methodNameOf({ method, path, write, isList }: NamedRoute): MethodName {
  const other = OTHER_NAMES[`${method} ${path}`];
  if (other !== undefined) {
    const [last = '', group] = other.split('.').toReversed();
    return { group, method: last };
  }
  if (write !== undefined) return { group: groupOf(write.collection), method: verbOf(write.operation) };
  const [, item, below] = /^(.*)\/\{\w+\}(?:\/([\w-]+))?$/.exec(path) ?? [];
  if (item !== undefined) return { group: groupOf(item), method: below === undefined ? 'get' : camelCase(below) };
  return isList ? { group: groupOf(path), method: 'list' } : { group: 'reports', method: reportOf(path) };
}

/** Throws where two routes have the same method, or where a method has the name of a group or of one that is added by hand. */
export function requireUniqueNames(routes: readonly Named[]): void {
  const taken = new Map(ADDED_BY_HAND.map((name) => [name, 'deploy/client/src/client.ts']));
  const groups = new Set(routes.map(({ name: { group } }) => group));
  for (const { method, path, name } of routes) {
    const route = `${method} ${path}`;
    const full = fullName(name);
    const other = taken.get(full);
    if (other !== undefined || groups.has(full)) {
      throw new Error(
        `${route} and ${other ?? `the group ${full}`} would both be "${full}" in the client: ` +
          'give one of them a name in OTHER_NAMES of deploy/client/generate/names.ts.',
      );
    }
    taken.set(full, route);
  }
}

type Named = { readonly method: string; readonly path: string; readonly name: MethodName };

/** `payments.create`. */
export function fullName({ group, method }: MethodName): string {
  return group === undefined ? method : `${group}.${method}`;
}

/** The name of the type of a read's query: `ListPaymentsQuery`, `AccountsLinesQuery`, `ReportsTrialBalanceQuery`. */
export function queryTypeOf({ group = '', method }: MethodName): string {
  if (method === 'list') return `List${capitalized(group)}Query`;
  const words = method.startsWith('list') ? [method] : [group, method];
  return `${words.map(capitalized).join('')}Query`;
}

export function capitalized(word: string): string {
  return word.charAt(0).toUpperCase() + word.slice(1);
}

function groupOf(collection: string): string {
  return OTHER_GROUPS[collection] ?? camelCase(collection.split('/').at(-1) ?? '');
}

/** `create` of `createPayment`. */
function verbOf(operation: string): string {
  return /^[a-z]+/.exec(operation)?.[0] ?? operation;
}

function reportOf(path: string): string {
  const [name = '', area = ''] = path.split('/').toReversed();
  return camelCase(name.includes('-') ? name : `${area}-${name}`);
}

function camelCase(segment: string): string {
  return segment.replace(/-(\w)/g, (_, letter: string) => letter.toUpperCase());
}
