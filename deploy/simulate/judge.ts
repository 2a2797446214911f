import type pg from 'pg';
import { problemOf } from '../client/http.ts';
import { tellsOutcome } from '../client/submit-write.ts';
import type { Step } from './plan.ts';
import type { Outcome } from './run.ts';

/** A promise about answers, over all of the run. */
export type Finding = { readonly promise: string; readonly checked: number; readonly wrong: readonly string[] };

type StoredWrite = {
  readonly company_id: string;
  readonly key: string;
  readonly outcome: 'succeeded' | 'rejected' | 'cancelled';
  readonly status_code: number;
  readonly response: string;
  readonly location: string | null;
  readonly fingerprint: string | null;
};

/** Holds every answer against the record, and the record against the plan. */
export async function judgeAnswers(
  auditor: pg.Client,
  outcomes: readonly Outcome[],
  companyIds: readonly string[],
  shared: readonly string[],
): Promise<readonly Finding[]> {
  const { rows } = await auditor.query<StoredWrite>(
    `SELECT company_id, idempotency_key AS key, outcome, status_code, convert_from(response_body, 'UTF8') AS response,
       location, fingerprint
     FROM idempotent_writes WHERE company_id = ANY ($1)`,
    [companyIds],
  );
  const placeOf = ({ company, key }: Step) => `${companyIds[company]}/${key}`;
  const stored = new Map(rows.map((row) => [`${row.company_id}/${row.key}`, row]));
  const told = outcomes.map((outcome): Told => {
    const { final, step } = outcome;
    const code = final && problemOf(final)?.code;
    return { ...outcome, code, place: placeOf(step), row: stored.get(placeOf(step)) };
  });
  const writes = told.filter(({ step }) => step.kind !== 'cancel' && step.kind !== 'at the door');
  return [
    finding('Every request has a final answer', told, ({ final }) => final !== undefined),
    finding('What is acknowledged is in the record with the same status, bytes and Location', writes, isAsStored),
    finding('A key that was sent is in the record', writes, ({ row }) => row !== undefined),
    finding('A key is in the record as it was sent, or by a triggered workflow', rows, isSentOrTriggered(told)),
    firstAnswers(writes),
    finding('Another body under a key is refused, and the same body never', writes, isRefusedAsOther(writes)),
    finding('A cancel and its write agree which came first', told.filter(isCancel), isAgreedCancel),
    finding('What cannot succeed is refused with its code', told.filter(isCertain), isRefusedSo),
    finding('What is refused at the door leaves nothing', told.filter(isAtTheDoor), ({ row }) => row === undefined),
    ownAnswers(told, new Set(shared)),
  ];
}

type Told = Outcome & {
  readonly code: string | undefined;
  readonly place: string;
  readonly row: StoredWrite | undefined;
};

const isCancel = ({ step }: Told) => step.kind === 'cancel';
const isCertain = ({ step }: Told) => step.refused !== undefined;
const isAtTheDoor = ({ step }: Told) => step.kind === 'at the door';
const isRefusedSo = ({ step, code }: Told) => code === step.refused;

function isAsStored({ step, final, row }: Told): boolean {
  if (final === undefined || !tellsOutcome(final)) return true;
  if (row === undefined || (row.outcome !== 'cancelled' && row.fingerprint !== step.fingerprint)) return false;
  return final.status === row.status_code && final.text === row.response && (final.location ?? null) === row.location;
}

function isSentOrTriggered(told: readonly Told[]) {
  const sent = new Set(told.filter((one) => !isAtTheDoor(one)).map(({ place }) => place));
  return (row: StoredWrite) => sent.has(`${row.company_id}/${row.key}`) || row.key.startsWith('trigger:');
}

/** A first answer may be lost with its connection; there are never two. A cancelled key has none: another made the outcome. */
function firstAnswers(writes: readonly Told[]): Finding {
  const byKey = new Map<string, Told[]>();
  for (const one of writes) byKey.set(one.place, [...(byKey.get(one.place) ?? []), one]);
  const answers = [...byKey.values()].map((ofKey) => {
    const firsts = ofKey.filter(({ final }) => final !== undefined && tellsOutcome(final) && !final.replayed);
    return { ofKey, firsts, row: ofKey[0]?.row };
  });
  return finding(
    'A key has one first answer at most, and all others carry the marker',
    answers.map(({ ofKey, firsts, row }) => ({ ...(ofKey[0] as Told), firsts: firsts.length, row })),
    ({ firsts, row }) => firsts <= (row?.outcome === 'cancelled' ? 0 : 1),
  );
}

/**
 * Where two bodies came at the same moment, the one that stands may have been refused before (contract.md: a 422 met in
 * flight is not final); sent later, never.
 */
function isRefusedAsOther(writes: readonly Told[]) {
  const raced = new Set(writes.filter(({ step }) => step.kind === 'mismatch' && step.atOnce).map(({ place }) => place));
  return ({ step, code, row, place, final }: Told) => {
    if (row === undefined || row.outcome === 'cancelled' || final === undefined) return true;
    if (row.fingerprint !== step.fingerprint) return code === 'idempotency_key_reused';
    return code !== 'idempotency_key_reused' || raced.has(place);
  };
}

function isAgreedCancel({ final, code, row }: Told): boolean {
  if (final?.status === 200) return row?.outcome === 'cancelled';
  return code === 'too_late' && row !== undefined && row.outcome !== 'cancelled';
}

/** Not where it is a part of something else, such as an e-mail address. */
const UUID = /(?<![\w-])[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}(?![\w-])/g;

/** Every ID is derived from its company: one that is told to two of them was told to one too many. */
function ownAnswers(told: readonly Told[], shared: ReadonlySet<string>): Finding {
  const toldTo = new Map<string, number>();
  return finding('No answer names anything of another company', told, ({ step, final }) => {
    const named = [...`${final?.location ?? ''} ${final?.text ?? ''}`.matchAll(UUID)].map(([id]) => id);
    return named.every((id) => {
      if (shared.has(id) || isAskedFor(step, id)) return true;
      const before = toldTo.get(id);
      if (before === undefined) toldTo.set(id, step.company);
      return before === undefined || before === step.company;
    });
  });
}

/** A refusal repeats what it was asked for, such as the ID of nothing. */
function isAskedFor({ path, body }: Step, id: string): boolean {
  return path.includes(id) || JSON.stringify(body).includes(id);
}

function finding<T extends Told | StoredWrite>(promise: string, of: readonly T[], holds: (one: T) => boolean): Finding {
  return { promise, checked: of.length, wrong: of.filter((one) => !holds(one)).map(shown) };
}

function shown(one: Told | StoredWrite): string {
  if (!('step' in one)) return `${one.company_id} ${one.key}`;
  const { step, final, row, place } = one;
  const answer = final === undefined ? 'no answer' : `${final.status} ${final.text.slice(0, 300)}`;
  const record = row === undefined ? 'no row' : `${row.outcome} ${row.status_code} ${row.response.slice(0, 300)}`;
  return `${place} ${step.operation.name} (${step.kind}): ${answer}; in the record: ${record}`;
}
