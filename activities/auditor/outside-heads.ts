import { createHash } from 'node:crypto';
import type { SignedHead } from '../../workflows/seal-messages.ts';
import { isUuid } from '../identity.ts';
import { type Head, instantOf, isSigned, readHead, type SealKeys } from '../seal/published-head.ts';
import { publicKeyOf } from '../seal/signing-key.ts';
import type { Ask, CheckContext, Explained, NotAsked, Part, Step } from './check.ts';
import { type Finding, type FindingKind, findingOf } from './finding.ts';
import { MOST_ROWS, thereIsMore } from './most-rows.ts';

/** A head as somebody has kept it, and where it was found. */
export type OutsideHead = SignedHead & { readonly source: string };

export type OutsideHeads = { readonly heads: readonly OutsideHead[]; readonly notAsked?: readonly NotAsked[] };

export type OutsideOptions = {
  /** As somebody has kept them; those of the database, if they are left out. */
  readonly keys?: SealKeys | undefined;
  /** Heads of other companies than that of the audit are left out. Otherwise a head of an unknown company is a finding. */
  readonly ofOneCompany?: boolean;
};

/**
 * Compares heads that were kept outside the database with it: each has to be signed, and the chain at its number to be what it says.
 * One that names rows which are gone is explained by the epoch that began without them, if an operator has stated why. A head that
 * was kept in several places is told of once.
 */
export async function* compareOutsideHeads(
  pages: AsyncIterable<OutsideHeads>,
  { companyIds }: Part,
  { ask, signal }: Pick<CheckContext, 'ask' | 'signal'>,
  { keys, ofOneCompany = false }: OutsideOptions = {},
): AsyncGenerator<Step> {
  const companies = new Set(companyIds);
  const told = new Set<string>();
  let found = 0;
  let explained = 0;
  const isFirst = ({ head }: SignedHead) => {
    const isNew = !told.has(head);
    told.add(head);
    return isNew;
  };
  for await (const { heads, notAsked = [] } of pages) {
    signal.throwIfAborted();
    const read = heads.map((published) => ({ published, head: readHead(published.head) }));
    const asked = read.filter(({ head }) => !ofOneCompany || (head !== undefined && companies.has(head.companyId)));
    const known = keys ?? (await readKeys(ask));
    const findings: Finding[] = [];
    const signed: SignedOutsideHead[] = [];
    const byUnknownKey: SignedOutsideHead[] = [];
    for (const { published, head } of asked) {
      if (head !== undefined && isSigned(published, known)) signed.push({ published, head });
      else if (head !== undefined && keys === undefined && !known.has(published.keyId))
        byUnknownKey.push({ published, head });
      else if (isFirst(published)) findings.push(forged(published, head));
    }
    const compared = await compareSigned(ask, signed, isFirst);
    const unknown = await compareUnknown(ask, byUnknownKey, isFirst);
    findings.push(...compared.findings, ...unknown.findings);
    const left = Math.max(0, MOST_ROWS - found);
    found += findings.length;
    const isMore = left > 0 && findings.length > left;
    yield {
      checked: { outsideHeads: asked.length },
      findings: [...findings.slice(0, left), ...(isMore ? [thereIsMore(findings[left]?.kind ?? '')] : [])],
      explained: compared.explained.slice(0, Math.max(0, MOST_ROWS - explained)),
      notAsked: [...notAsked, ...compared.notAsked, ...unknown.notAsked],
    };
    explained += compared.explained.length;
  }
}

type SignedOutsideHead = { readonly published: OutsideHead; readonly head: Head };
type Compared = {
  readonly findings: readonly Finding[];
  readonly explained: readonly Explained[];
  readonly notAsked: readonly NotAsked[];
};

async function readKeys(ask: Ask): Promise<SealKeys> {
  const rows = await ask<{ key_id: string; public_key: Buffer }>('SELECT key_id, public_key FROM seal_keys');
  return new Map(rows.map(({ key_id, public_key }) => [key_id, publicKeyOf(public_key)]));
}

type ChainRow = {
  readonly is_known: boolean;
  /** The chain's digest at the number, null where no batch ends there. */
  readonly digest: string | null;
  readonly is_beyond: boolean;
  /** Of a standby: what was published later than this may not have come yet. */
  readonly replayed_until: string | null;
  /** Of the first epoch that began from a lower number, after the head was published. */
  readonly epoch: number | null;
  /** Whether its sweep has recorded from where the log goes on, if there was anything. */
  readonly is_swept: boolean | null;
  readonly began_at: string | null;
  /** Whether a head of that epoch or a later one was published of the log. */
  readonly has_head: boolean | null;
  readonly last_kept: string | null;
  readonly operator: string | null;
  readonly reason: string | null;
  /** Another head has the position of this one, and no epoch has begun after it that an operator has stated. */
  readonly is_other: boolean;
};

async function compareSigned(
  ask: Ask,
  signed: readonly SignedOutsideHead[],
  isFirst: (head: SignedHead) => boolean,
): Promise<Compared> {
  const findings: Finding[] = [];
  const explained: Explained[] = [];
  const notAsked: NotAsked[] = [];
  const rows = signed.length === 0 ? [] : await ask<ChainRow>(CHAIN_AT_HEADS, valuesOf(signed));
  for (const [i, row] of rows.entries()) {
    const { head, published } = signed[i] as SignedOutsideHead;
    if (row.digest === head.digest) {
      if (row.is_other && isFirst(published)) findings.push(otherAtPosition({ published, head }));
      continue;
    }
    if (row.is_beyond && row.replayed_until !== null && instantOf(head.publishedAt) > row.replayed_until) {
      notAsked.push({ what: 'the newest heads kept outside', why: 'This standby has not replayed them yet.' });
    } else if (row.epoch !== null && row.is_swept === false) {
      notAsked.push({ what: 'heads kept outside', why: 'The sealer still looks through all rows after a restore.' });
    } else if (!isFirst(published)) continue;
    else if (row.epoch !== null && row.has_head === true && row.operator !== null && row.reason !== null) {
      const { companyId, log, position, number, publishedAt } = head;
      const { epoch, operator, reason, last_kept } = row;
      explained.push({
        ...{ companyId, log, position, number, publishedAt },
        ...{ epoch, beganAt: row.began_at ?? undefined, lastKept: Number(last_kept), operator, reason },
      });
    } else findings.push(notOnChain({ published, head }, row));
  }
  return { findings, explained, notAsked };
}

/** A restore that has taken a head may have taken the key that has signed it, where that had signed nothing before. */
async function compareUnknown(
  ask: Ask,
  heads: readonly SignedOutsideHead[],
  isFirst: (head: SignedHead) => boolean,
): Promise<Pick<Compared, 'findings' | 'notAsked'>> {
  const rows = heads.length === 0 ? [] : await ask<ChainRow>(CHAIN_AT_HEADS, valuesOf(heads));
  const ofLostRows = heads.filter((_, i) => rows[i]?.epoch != null);
  const others = heads.filter((_, i) => rows[i]?.epoch == null);
  return {
    findings: others
      .filter(({ published }) => isFirst(published))
      .map(({ published, head }) => forged(published, head)),
    notAsked: ofLostRows.length === 0 ? [] : [UNKNOWN_KEY],
  };
}

const UNKNOWN_KEY: NotAsked = {
  what: 'heads kept outside that a key has signed which the database does not know',
  why: 'It was restored to before them: give the keys that were kept (--keys).',
};

function forged(published: OutsideHead, head: Head | undefined): Finding {
  if (head === undefined) {
    const detail = `A head that was kept outside cannot be read (${published.source}).`;
    return findingOf({ kind: 'head-forged', table: 'seal_heads', detail, head: digestOf(published) });
  }
  return told(
    'head-forged',
    { published, head },
    'The signature of a head that was kept outside is not by a known key',
  );
}

function otherAtPosition(outside: SignedOutsideHead): Finding {
  return told('head-differs', outside, 'Another head has the position of a head that was kept outside');
}

function notOnChain(outside: SignedOutsideHead, row: ChainRow): Finding {
  const { is_known, is_beyond, epoch, last_kept, operator, reason } = row;
  const why =
    operator === null || reason === null
      ? 'no operator has stated why'
      : 'no head of it has been published of this log';
  const unstated = epoch === null ? '' : `; epoch ${epoch} began behind number ${last_kept}, and ${why}`;
  const whatIs = is_known
    ? is_beyond
      ? 'A head that was kept outside covers rows that are not there'
      : 'The chain is not at a head that was kept outside what it was then'
    : 'A head that was kept outside is of a company that is not there';
  return told(is_known && !is_beyond ? 'head-differs' : 'head-missing', outside, `${whatIs}${unstated}`);
}

function told(kind: FindingKind, { published, head }: SignedOutsideHead, whatIs: string): Finding {
  const { companyId, log, position, number } = head;
  const detail = `${whatIs}: number ${number} of the ${log} log (${published.source}).`;
  return findingOf({
    ...{ kind, companyId, table: 'seal_heads', rowId: `${log}/${position}`, detail },
    head: digestOf(published),
  });
}

function digestOf({ head }: SignedHead): string {
  return createHash('sha256').update(head).digest('hex');
}

/** What is no UUID is of no company that is there. */
const NO_COMPANY = '00000000-0000-0000-0000-000000000000';

function valuesOf(signed: readonly SignedOutsideHead[]): unknown[] {
  const heads = signed.map(({ head }) => head);
  return [
    heads.map(({ companyId }) => (isUuid(companyId) ? companyId : NO_COMPANY)),
    heads.map(({ log }) => log),
    heads.map(({ number }) => number),
    heads.map(({ epoch }) => epoch),
    heads.map(({ publishedAt }) => instantOf(publishedAt)),
    heads.map(({ position }) => position),
    signed.map(({ published }) => published.head),
  ];
}

/**
 * A head ends with a batch. An epoch explains it that is later than the head, began from a lower number, and has sealed the row that
 * has the number now, if there is one: what is left of the rows that the head covers has to be what it was. Nothing was sealed before
 * an epoch whose sweep has recorded nothing of the log, and only then: where batches of before are there, it explains nothing. Of a
 * log, a head of the epoch or a later one has to be published, so that nobody without the key explains anything. Instants are
 * compared as text, since a head may have digits that are no day.
 */
const BEGAN_AT = `to_char(e.began_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US')`;
/** By its number; or by its time, where no head of it, or of a later one, is older: nobody has signed when an epoch began. */
const IS_LATER = `(e.epoch > k.epoch OR ${BEGAN_AT} || '000' > k.published_at COLLATE "C" AND NOT EXISTS (
  SELECT FROM seal_heads h WHERE (c.id IS NULL OR h.company_id = k.company_id AND h.log = k.log) AND h.epoch >= e.epoch
    AND to_char(h.published_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US') || '000' <= k.published_at COLLATE "C"))`;
/** Epochs of heads never fall. Of a company that is not there, any head of the epoch will do. */
const HAS_HEAD = `e.epoch <= CASE WHEN c.id IS NULL THEN (SELECT max(h.epoch) FROM seal_heads h)
  ELSE (SELECT h.epoch FROM seal_heads h WHERE h.company_id = k.company_id AND h.log = k.log
    ORDER BY h.position DESC LIMIT 1) END`;
const CHAIN_AT_HEADS = `
SELECT c.id IS NOT NULL AS is_known, CASE WHEN b.last_number = k.number THEN encode(b.head, 'hex') END AS digest,
  coalesce(b.last_number, 0) < k.number AS is_beyond, e.epoch, e.is_swept, e.last_kept, e.operator, e.reason,
  e.began_at, e.has_head,
  p.head IS NOT NULL AND p.head <> k.head AND NOT EXISTS (
    SELECT FROM seal_epochs e LEFT JOIN operator_verifications o ON o.epoch = e.verification_epoch
    WHERE ${IS_LATER} AND coalesce(e.operator, o.operator) IS NOT NULL AND coalesce(e.reason, o.reason) IS NOT NULL
      AND ${HAS_HEAD}) AS is_other,
  CASE WHEN pg_is_in_recovery() THEN to_char((coalesce(pg_last_xact_replay_timestamp(), 'epoch') - interval '1 minute')
    AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US') END AS replayed_until
FROM unnest($1::uuid[], $2::text[], $3::bigint[], $4::bigint[], $5::text[], $6::bigint[], $7::text[])
  WITH ORDINALITY AS k (company_id, log, number, epoch, published_at, position, head, place)
LEFT JOIN companies c ON c.id = k.company_id
LEFT JOIN seal_heads p ON p.company_id = k.company_id AND p.log = k.log AND p.position = k.position
LEFT JOIN LATERAL (
  SELECT b.last_number, b.head, b.epoch FROM seal_batches b
  WHERE b.company_id = k.company_id AND b.log = k.log AND b.first_number <= k.number ORDER BY b.first_number DESC LIMIT 1
) AS b ON true
LEFT JOIN LATERAL (
  SELECT e.epoch, coalesce(e.operator, o.operator) AS operator, coalesce(e.reason, o.reason) AS reason,
    coalesce(s.number, 0)::text AS last_kept, s.number IS NOT NULL OR sweep.is_past AS is_swept,
    ${BEGAN_AT} || 'Z' AS began_at, coalesce(${HAS_HEAD}, false) AS has_head
  FROM seal_epochs e
  CROSS JOIN LATERAL (
    SELECT coalesce(bool_and(p.epoch > e.epoch OR p.phase <> 'sweep entries' OR p.swept_company >= k.company_id), true) AS is_past
    FROM seal_position p
  ) AS sweep
  LEFT JOIN operator_verifications o ON o.epoch = e.verification_epoch
  LEFT JOIN seal_epoch_starts s ON s.company_id = k.company_id AND s.log = k.log AND s.epoch = e.epoch
  WHERE ${IS_LATER}
    AND coalesce(s.number, 0) < k.number AND (coalesce(b.last_number, 0) < k.number OR e.epoch <= b.epoch)
    AND (s.number IS NOT NULL OR NOT sweep.is_past OR NOT EXISTS (
      SELECT FROM seal_batches o WHERE o.company_id = k.company_id AND o.log = k.log AND o.epoch < e.epoch))
  ORDER BY e.epoch LIMIT 1
) AS e ON true
ORDER BY k.place`;
