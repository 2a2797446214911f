import type { Write } from '../../client/src/generated/types.ts';
import { OPERATIONS } from './generated/operations.ts';
import { type Minor, minorOf, moneyText } from './money.ts';

type Waiting = Pick<Write, 'actor' | 'approvals' | 'demands' | 'state'>;
type Reader = { readonly userId: string; readonly roles: readonly string[] };

/** Whether this person may decide about the write, and has not. */
export function mayDecide({ actor, approvals = [], demands = [], state }: Waiting, { userId, roles }: Reader): boolean {
  return (
    state === 'pending_approval' &&
    userId !== '' &&
    actor.userId !== userId &&
    demands.some((demand) => demand.roles.some((role) => roles.includes(role))) &&
    !approvals.some((decision) => decision.userId === userId)
  );
}

/** Whether the approval of this person would be the last that the write needs. */
export function wouldBeLast({ demands = [] }: Pick<Waiting, 'demands'>, { roles }: Reader): boolean {
  return demands.every(
    ({ count, given, roles: asked }) => given + (asked.some((role) => roles.includes(role)) ? 1 : 0) >= count,
  );
}

/** "1 of 2 approvals by an owner or admin". */
export function demandInWords({ count, given, roles }: NonNullable<Waiting['demands']>[number]): string {
  return `${given} of ${count} ${count === 1 ? 'approval' : 'approvals'} by ${roles.map((role) => role.replaceAll('_', ' ')).join(' or ')}`;
}

/** The amounts that a request names, each with its currency; undefined where it names none. Of an entry: its debits. */
export function amountAskedFor(request: unknown): string | undefined {
  const { amount, currency, lines } = ((request as { body?: unknown } | null)?.body ?? {}) as Asked;
  if (amount !== undefined) return amountText(amount, currency);
  if (!Array.isArray(lines)) return undefined;
  const debits = new Map<string, bigint>();
  for (const line of lines as readonly Asked[]) {
    const minor = minorOf(line?.amount as Minor);
    if (minor === undefined || typeof line.currency !== 'string') return undefined;
    debits.set(line.currency, (debits.get(line.currency) ?? 0n) + (minor > 0n ? minor : 0n));
  }
  const texts = [...debits].map(([of, sum]) => `${moneyText(String(sum), of)} ${of}`);
  return texts.length === 0 ? undefined : texts.join(', ');
}

type Asked = { readonly amount?: unknown; readonly currency?: unknown; readonly lines?: unknown };

function amountText(amount: unknown, currency: unknown): string | undefined {
  if (typeof currency !== 'string' || minorOf(amount as Minor) === undefined) return undefined;
  return `${moneyText(amount as Minor, currency)} ${currency}`;
}

/** Where to read what a request is about: what it would change, or the document that it names. Undefined where there is neither. */
export function aboutPath({ operation, request }: Pick<Write, 'operation' | 'request'>): string | undefined {
  const { params = {}, body } = (request ?? {}) as { readonly params?: Named; readonly body?: Named | null };
  const changed = OPERATIONS[operation ?? '']?.about;
  const path = changed ?? DOCUMENTS.find(({ member }) => typeof body?.[member] === 'string')?.path;
  const name = /:(\w+)/.exec(path ?? '')?.[1] ?? '';
  const value = (changed === undefined ? body : params)?.[name];
  if (typeof value !== 'string' && typeof value !== 'number') return undefined;
  return path?.replace(/:\w+/, encodeURIComponent(value));
}

type Named = Readonly<Record<string, unknown>>;

const DOCUMENTS = [
  { member: 'paymentId', path: '/api/payments/:paymentId' },
  { member: 'invoiceId', path: '/api/invoices/:invoiceId' },
];

/** An amount that a request names without its currency, which is that of the document that it is about. */
export function amountOf(request: unknown, { currency }: Named): string | undefined {
  const { body } = (request ?? {}) as { readonly body?: Named | null };
  return body?.['currency'] === undefined ? amountText(body?.['amount'], currency) : undefined;
}

/** What a person knows a resource by: its number or name, and its amount. */
export function headline(resource: Readonly<Record<string, unknown>>): string {
  const name = ['number', 'entryNumber', 'name', 'email', 'sku', 'year', 'id']
    .map((member) => resource[member])
    .find((value) => typeof value === 'string' || typeof value === 'number');
  const amount = ['total', 'amount'].map((member) => amountText(resource[member], resource['currency'])).find(Boolean);
  return [name, amount].filter((text) => text !== undefined).join(', ');
}
