import type { Tx } from '../../activities/database.ts';
import type { Operation } from '../../activities/operation.ts';
import { PAYROLL_OPERATIONS } from '../reads/payroll-entries.ts';
import type { Reader } from '../reads/read.ts';
import { mayReadBody, shownBy } from './access.ts';
import type { FinishedRow, WriteDocument } from './resource.ts';

/** What was asked for and, of a success alone, what it was answered with. Other members than those looked for do not matter. */
type Bodies = { readonly request: unknown; readonly response?: unknown };

/**
 * What was asked for goes first: a write-off answers with the whole invoice. Null for a write of something else than money, and
 * wherever it may tell what somebody is paid. Whoever may see what the write asked for and answered may see it.
 */
export function documentOf(operation: string | null, bodies: Bodies, operations: readonly Operation[]) {
  return hasDocument(operation, operations) ? documentIn(bodies) : null;
}

function hasDocument(operation: string | null, operations: readonly Operation[]): boolean {
  const isPay = shownBy(operation, operations).shows === 'payroll' || PAYROLL_OPERATIONS.includes(operation ?? '');
  return !isPay && operations.some(({ name }) => name === operation);
}

function documentIn({ request, response }: Bodies): WriteDocument | null {
  const [asked, answered] = [membersOf(request), membersOf(response)];
  const number = textOf(answered['number']);
  const amount = [asked['amount'], answered['amount'], answered['total']].find(isWhole) ?? null;
  const currency = textOf(answered['currency']) ?? textOf(asked['currency']);
  // An amount without its currency would be read as another one.
  const money = amount === null || currency === null ? { amount: null, currency: null } : { amount, currency };
  return number === null && money.amount === null ? null : { number, ...money };
}

/**
 * The documents of those of these rows that the reader may see, by their keys. They are the rows of one page; a body that is larger
 * than most is not looked into.
 */
export async function readDocuments(
  tx: Tx,
  rows: readonly Pick<FinishedRow, 'idempotency_key' | 'operation' | 'user_id'>[],
  reader: Reader,
  operations: readonly Operation[],
): Promise<ReadonlyMap<string, WriteDocument>> {
  const shown = rows.filter(
    ({ operation, user_id: userId }) =>
      hasDocument(operation, operations) && mayReadBody({ operation, userId }, reader, operations),
  );
  if (shown.length === 0) return new Map();
  const keys = shown.map((row) => row.idempotency_key);
  const found = await tx.query<{ key: string } & Bodies>(DOCUMENTS, [keys, LARGEST_BYTES]);
  return new Map(
    found.flatMap(({ key, ...bodies }) => {
      const document = documentIn(bodies);
      return document === null ? [] : [[key, document] as const];
    }),
  );
}

const LARGEST_BYTES = 65_536;

/** As json and not as jsonb: members that are not looked for are not converted. Sizes are read without the bodies. */
const DOCUMENTS = `
SELECT w.idempotency_key AS key,
  json_build_object('amount', b.asked -> 'amount', 'currency', b.asked -> 'currency') AS request,
  json_build_object('number', b.answered -> 'number', 'amount', b.answered -> 'amount', 'total', b.answered -> 'total',
    'currency', b.answered -> 'currency') AS response
FROM idempotent_writes AS w
CROSS JOIN LATERAL (
  SELECT CASE WHEN pg_column_size(w.request) <= $2 THEN w.request -> 'body' END AS asked,
    CASE WHEN w.outcome = 'succeeded' AND octet_length(w.response_body) <= $2
      THEN convert_from(w.response_body, 'UTF8')::json END AS answered
  OFFSET 0) AS b
WHERE w.company_id = current_company() AND w.idempotency_key = ANY ($1::text[])`;

function membersOf(body: unknown): Readonly<Record<string, unknown>> {
  return typeof body === 'object' && body !== null ? (body as Record<string, unknown>) : {};
}

function isWhole(value: unknown): value is number {
  return Number.isSafeInteger(value);
}

function textOf(value: unknown): string | null {
  return typeof value === 'string' && value !== '' ? value : null;
}
