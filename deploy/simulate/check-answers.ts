import type pg from 'pg';
import { OPERATIONS } from '../../activities/operation-list.ts';
import { problemOf, tellsOutcome } from '../client/src/answers.ts';
import { outOfSequence } from './document-numbers.ts';
import { outOfDateOrder, warnsOutOfDateOrder } from './number-order.ts';
import type { Outcome } from './run.ts';
import { isDecision, type Step } from './step.ts';

/** A promise about answers, over all of the run. */
export type Finding = { readonly promise: string; readonly checked: number; readonly wrong: readonly string[] };

type StoredWrite = {
  readonly company_id: string;
  readonly key: string;
  readonly operation: string | null;
  readonly outcome: 'succeeded' | 'rejected' | 'cancelled' | 'lost';
  readonly status_code: number;
  readonly response: string;
  readonly location: string | null;
  readonly fingerprint: string | null;
};

/** Compares every answer with the record, and the record with the plan. */
export async function checkAnswers(
  auditor: pg.Client,
  outcomes: readonly Outcome[],
  companyIds: readonly string[],
  shared: readonly string[],
): Promise<readonly Finding[]> {
  const { rows } = await auditor.query<StoredWrite>(
    `SELECT company_id, idempotency_key AS key, operation, outcome, status_code, convert_from(response_body, 'UTF8') AS response,
       location, fingerprint
     FROM idempotent_writes WHERE company_id = ANY ($1)`,
    [companyIds],
  );
  const placeOf = ({ company, key }: Step) => `${companyIds[company]}/${key}`;
  const stored = new Map(rows.map((row) => [`${row.company_id}/${row.key}`, row]));
  const answered = outcomes.map((outcome): Answered => {
    const { final, step } = outcome;
    const code = final && problemOf(final)?.code;
    return { ...outcome, code, place: placeOf(step), row: stored.get(placeOf(step)) };
  });
  const finalized = rows.filter(({ operation, outcome }) => operation === 'finalizeInvoice' && outcome === 'succeeded');
  const outOfOrder = new Set(
    companyIds.flatMap((companyId) => {
      const ofCompany = finalized.filter(({ company_id }) => company_id === companyId);
      return outOfDateOrder(ofCompany.map(({ response }) => response));
    }),
  );
  const numbered = rows.filter(
    ({ operation, outcome }) => outcome === 'succeeded' && NUMBERED.includes(operation ?? ''),
  );
  const misnumbered = new Set(
    companyIds.flatMap((companyId) =>
      NUMBERED.flatMap((name) => {
        const ofKind = numbered.filter(({ company_id, operation }) => company_id === companyId && operation === name);
        return outOfSequence(ofKind.map(({ response }) => response));
      }),
    ),
  );
  const writes = answered.filter(({ step }) => !['cancel', 'invalid'].includes(step.kind) && !isDecision(step));
  return [
    finding('Every request has a final answer', answered, ({ final }) => final !== undefined),
    finding('An acknowledged write is stored with the same status, bytes and Location', writes, isAsStored),
    finding('A key that was sent is in the record', writes, ({ row }) => isKept(row)),
    finding('A key is in the record as it was sent, or by a triggered workflow', rows, isSentOrTriggered(answered)),
    firstAnswers(writes),
    finding('Another body under a key is refused; the same body never is', writes, isRefusedAsOther(writes)),
    finding('A cancel and its write agree which came first', answered.filter(isCancel), isAgreedCancel),
    finding('A request that cannot succeed gets the expected code', answered.filter(isCertain), isRefusedSo),
    finding('An invalid request stores nothing', answered.filter(isInvalid), ({ row }) => row === undefined),
    finding(
      'An invoice is answered with a warning exactly where a lower number is dated later',
      finalized,
      ({ response }) => warnsOutOfDateOrder(response) === outOfOrder.has(response),
    ),
    finding('The numbers in answers run from 1 without a gap', numbered, ({ response }) => !misnumbered.has(response)),
    ownAnswers(answered, new Set(shared)),
  ];
}

/** What takes a number; those of each are of one kind. */
const NUMBERED = OPERATIONS.filter(({ takesNumber }) => takesNumber !== undefined).map(({ name }) => name);

type Answered = Outcome & {
  readonly code: string | undefined;
  readonly place: string;
  readonly row: StoredWrite | undefined;
};

const isCancel = ({ step }: Answered) => step.kind === 'cancel';
/** What concerns an approval is compared with that. */
const isCertain = ({ step }: Answered) => step.refused !== undefined && !step.ends && !isDecision(step);
const isInvalid = ({ step }: Answered) => step.kind === 'invalid';
/** A lost write has a row that only says so. */
const isKept = (row: StoredWrite | undefined) => row !== undefined && row.outcome !== 'lost';
const isRefusedSo = ({ step, code }: Answered) => code === step.refused;

function isAsStored({ step, final, row }: Answered): boolean {
  if (final === undefined || !tellsOutcome(final)) return true;
  if (row === undefined || (row.outcome !== 'cancelled' && row.fingerprint !== step.fingerprint)) return false;
  return final.status === row.status_code && final.text === row.response && (final.location ?? null) === row.location;
}

function isSentOrTriggered(answered: readonly Answered[]) {
  const sent = new Set(answered.filter((one) => !isInvalid(one)).map(({ place }) => place));
  return (row: StoredWrite) => sent.has(`${row.company_id}/${row.key}`) || row.key.startsWith('trigger:');
}

/** A first answer may be lost with its connection; there are never two. A cancelled key has none: another made the outcome. */
function firstAnswers(writes: readonly Answered[]): Finding {
  const byKey = new Map<string, Answered[]>();
  for (const one of writes) byKey.set(one.place, [...(byKey.get(one.place) ?? []), one]);
  const answers = [...byKey.values()].map((ofKey) => {
    const firsts = ofKey.filter(({ final }) => final !== undefined && tellsOutcome(final) && !final.replayed);
    return { ofKey, firsts, row: ofKey[0]?.row };
  });
  return finding(
    'A key has at most one first answer; all others have the marker',
    answers.map(({ ofKey, firsts, row }) => ({ ...(ofKey[0] as Answered), firsts: firsts.length, row })),
    ({ firsts, row }) => firsts <= (row?.outcome === 'cancelled' ? 0 : 1),
  );
}

/**
 * Where two bodies came at the same moment, the one that stands may have been refused before (contract.md: a 422 met in
 * flight is not final); sent later, never.
 */
function isRefusedAsOther(writes: readonly Answered[]) {
  const raced = new Set(writes.filter(({ step }) => step.kind === 'mismatch' && step.atOnce).map(({ place }) => place));
  return ({ step, code, row, place, final }: Answered) => {
    if (row === undefined || row.outcome === 'cancelled' || final === undefined) return true;
    if (row.fingerprint !== step.fingerprint) return code === 'idempotency_key_reused';
    return code !== 'idempotency_key_reused' || raced.has(place);
  };
}

function isAgreedCancel({ final, code, row }: Answered): boolean {
  if (final?.status === 200) return row?.outcome === 'cancelled';
  return code === 'too_late' && isKept(row) && row?.outcome !== 'cancelled';
}

/** Not where it is a part of something else, such as an e-mail address. */
const UUID = /(?<![\w-])[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}(?![\w-])/g;

/** Every ID is derived from its company: an ID that stands in answers to two companies has reached one too many. */
function ownAnswers(answered: readonly Answered[], shared: ReadonlySet<string>): Finding {
  const namedTo = new Map<string, number>();
  return finding('No answer contains an ID of another company', answered, ({ step, final }) => {
    const named = [...`${final?.location ?? ''} ${final?.text ?? ''}`.matchAll(UUID)].map(([id]) => id);
    return named.every((id) => {
      if (shared.has(id) || isAskedFor(step, id)) return true;
      const before = namedTo.get(id);
      if (before === undefined) namedTo.set(id, step.company);
      return before === undefined || before === step.company;
    });
  });
}

/** A refusal repeats what it was asked for, such as the ID of nothing. */
function isAskedFor({ path, body }: Step, id: string): boolean {
  return path.includes(id) || JSON.stringify(body).includes(id);
}

function finding<T extends Answered | StoredWrite>(
  promise: string,
  of: readonly T[],
  holds: (one: T) => boolean,
): Finding {
  return { promise, checked: of.length, wrong: of.filter((one) => !holds(one)).map(shown) };
}

function shown(one: Answered | StoredWrite): string {
  if (!('step' in one)) return `${one.company_id} ${one.key}`;
  const { step, final, row, place } = one;
  const answer =
    final === undefined
      ? `no answer but ${JSON.stringify(one.onTheWay)}`
      : `${final.status} ${final.text.slice(0, 300)}`;
  const record = row === undefined ? 'no row' : `${row.outcome} ${row.status_code} ${row.response.slice(0, 300)}`;
  return `${place} ${step.operation.name} (${step.kind}): ${answer}; in the record: ${record}`;
}
