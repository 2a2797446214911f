import type { SignedHead } from '../../workflows/seal-messages.ts';
import type { Tx } from '../database.ts';
import {
  auditContent,
  entryContent,
  type Salt,
  type SealedAuditRow,
  type SealedEntry,
  type SealedLog,
} from './content.ts';
import { type Digest, leafOf, type PathNode, pathTo, rootFrom } from './digests.ts';
import { type BatchRow, saltOf } from './read-log.ts';
import {
  AUDIT_CONTENT,
  AUDIT_JOINS,
  ENTRY_CONTENT,
  ENTRY_JOINS,
  LOST_MEMBERS,
  type ReadEntry,
  toSealedEntries,
} from './sealed-rows.ts';

/**
 * Proofs that a single row is in its log: the row's content, and the path from its leaf to a published head. Whoever has the
 * public key checks it without the database, and learns of no other row. The transaction is set to the company.
 */

/** As docs/seal-format.md has it, digests in hexadecimal. */
export type ProvenRow = {
  readonly log: SealedLog;
  readonly number: number;
  readonly content: string;
  readonly leaf: string;
  readonly path: readonly ShownNode[];
  readonly batchPath: readonly ShownNode[];
  readonly head: SignedHead & { readonly timeStamp?: string };
};
type ShownNode = { readonly side: 'left' | 'right'; readonly digest: string };

/**
 * `unsealed`, `unpublished`: of rows that wait to be sealed, or for a head that covers them. `altered`: the row, or what it was
 * sealed with, is not what it was then, so that no proof of it would hold. `erased`: so it is, because a person was erased while the
 * row's month was in the archive.
 */
export type Proving =
  | { readonly state: 'proven'; readonly row: ProvenRow }
  | { readonly state: 'unsealed' | 'unpublished' | 'altered' | 'erased' };

/** Undefined where the write has posted nothing. */
export async function proveEntry(tx: Tx, writeId: string): Promise<Proving | undefined> {
  const [found] = await tx.query<Sealed & ReadEntry>(
    `SELECT s.number AS sealed_number, s.leaf AS sealed_leaf, ${ENTRY_CONTENT} FROM journal_entries e
     LEFT JOIN sealed_entries s ON s.company_id = e.company_id AND s.entry_id = e.id ${ENTRY_JOINS}
     WHERE e.company_id = current_company() AND e.write_id = $1`,
    [writeId],
  );
  if (found === undefined) return undefined;
  const { sealed_number: number, sealed_leaf: leaf } = found;
  const [entry] = await toSealedEntries((sql, values) => tx.query(sql, values), [found]);
  return prove(tx, { log: 'journal', number, leaf, content: (salt) => entryContent(entry as SealedEntry, salt) });
}

/** Which audit row: that of the transaction that gave the key its outcome. */
export type Outcome = {
  readonly key: string;
  readonly requestId: string;
  readonly completedAt: string;
  /** The code of a refusal; undefined for a write that has succeeded. */
  readonly errorCode: string | undefined;
};

/** Undefined where the audit log has no such row, as when its month is in the archive. */
export async function proveAuditRow(tx: Tx, outcome: Outcome): Promise<Proving | undefined> {
  // The days around it keep the search to its months, and off the replays of years.
  const [found] = await tx.query<Sealed & SealedAuditRow & { has_erased: boolean }>(
    `SELECT s.number AS sealed_number, s.leaf AS sealed_leaf, ${LOST_MEMBERS} AS has_erased,
       ${AUDIT_CONTENT} FROM idempotent_write_audit_log a
     LEFT JOIN sealed_audit_rows s ON s.company_id = a.company_id AND s.row_id = a.id AND s.row_timestamp = a.timestamp
     ${AUDIT_JOINS}
     WHERE a.company_id = current_company() AND a.idempotency_key = $1 AND a.request_id = $2
       AND a.timestamp BETWEEN $3::timestamptz - interval '1 day' AND $3::timestamptz + interval '1 day'
       AND CASE WHEN $4::text IS NULL THEN a.status = 'new' ELSE a.status = 'failed' AND a.error_code = $4 END
     ORDER BY a.timestamp, a.id LIMIT 1`,
    [outcome.key, outcome.requestId, outcome.completedAt, outcome.errorCode ?? null],
  );
  if (found === undefined) return undefined;
  const { sealed_number: number, sealed_leaf: leaf, has_erased: hasErased, ...row } = found;
  const proving = await prove(tx, { log: 'audit', number, leaf, content: (salt) => auditContent(row, salt) });
  return proving.state === 'altered' && hasErased ? { state: 'erased' } : proving;
}

/** Whether the audit log of that moment has left the database. */
export async function isArchived(tx: Tx, at: string): Promise<boolean> {
  const [month] = await tx.query<{ attached: boolean }>(
    `SELECT EXISTS (SELECT FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
       WHERE i.inhparent = 'idempotent_write_audit_log'::regclass
         AND c.relname = to_char($1::timestamptz AT TIME ZONE 'UTC', '"y"YYYY"m"MM')) AS attached`,
    [at],
  );
  return month?.attached === false;
}

/** Null where the row is not sealed yet. */
type Sealed = { readonly sealed_number: bigint | null; readonly sealed_leaf: Digest | null };
type ToProve = {
  readonly log: SealedLog;
  readonly number: bigint | null;
  readonly leaf: Digest | null;
  content(salt: Salt): string;
};

async function prove(tx: Tx, { log, number, leaf, content: contentWith }: ToProve): Promise<Proving> {
  if (number === null || leaf === null) return { state: 'unsealed' };
  const [head, batch] = await Promise.all([readHead(tx, log, number), readBatch(tx, log, number)]);
  if (batch === undefined) return { state: 'altered' };
  const content = contentWith(saltOf(batch, number));
  const leaves = await readLeaves(tx, log, batch);
  const index = Number(number - batch.first_number);
  if (!leafOf(content).equals(leaf) || leaves[index]?.equals(leaf) !== true) return { state: 'altered' };
  const path = pathTo(index, leaves);
  if (!rootFrom(leaf, path).equals(batch.root)) return { state: 'altered' };
  if (head === undefined) return { state: 'unpublished' };
  const batchPath = await readBatchPath(tx, log, batch, head);
  if (batchPath === undefined) return { state: 'altered' };
  const row = {
    ...{ log, number: Number(number), content, leaf: leaf.toString('hex') },
    ...{ path: path.map(shown), batchPath: batchPath.map(shown) },
    head: publishedOf(head),
  };
  return { state: 'proven', row };
}

function publishedOf({ head, key_id: keyId, signature, time_stamp: token }: HeadRow): ProvenRow['head'] {
  const published = { head, keyId, signature: signature.toString('base64') };
  return token === null ? published : { ...published, timeStamp: token.toString('base64') };
}

function shown({ side, digest }: PathNode): ShownNode {
  return { side, digest: digest.toString('hex') };
}

type HeadRow = {
  readonly first_number: bigint;
  readonly number: bigint;
  readonly head: string;
  readonly key_id: string;
  readonly signature: Buffer;
  readonly time_stamp: Buffer | null;
};

/** The first head that covers the row. */
async function readHead(tx: Tx, log: SealedLog, number: bigint): Promise<HeadRow | undefined> {
  const [head] = await tx.query<HeadRow>(
    `SELECT h.first_number, h.number, h.head, h.key_id, h.signature, e.evidence AS time_stamp FROM seal_heads h
     LEFT JOIN seal_evidence e
       ON e.company_id = h.company_id AND e.log = h.log AND e.position = h.position AND e.kind = 'time-stamp'
     WHERE h.company_id = current_company() AND h.log = $1 AND h.first_number <= $2 AND h.number >= $2
     ORDER BY h.position LIMIT 1`,
    [log, number],
  );
  return head;
}

async function readBatch(tx: Tx, log: SealedLog, number: bigint): Promise<BatchRow | undefined> {
  const [batch] = await tx.query<BatchRow>(
    `SELECT b.first_number, b.last_number, b.head, b.root, b.epoch, s.salts, s.erased FROM seal_batches b
     LEFT JOIN seal_salts s USING (company_id, log, first_number)
     WHERE b.company_id = current_company() AND b.log = $1 AND b.first_number <= $2
     ORDER BY b.first_number DESC LIMIT 1`,
    [log, number],
  );
  return batch === undefined || batch.last_number < number ? undefined : batch;
}

const LEAVES: Readonly<Record<SealedLog, string>> = {
  journal:
    'SELECT leaf FROM sealed_entries WHERE company_id = current_company() AND number BETWEEN $1 AND $2 ORDER BY number',
  audit:
    'SELECT leaf FROM sealed_audit_rows WHERE company_id = current_company() AND number BETWEEN $1 AND $2 ORDER BY number',
};

async function readLeaves(tx: Tx, log: SealedLog, { first_number, last_number }: BatchRow): Promise<Digest[]> {
  return (await tx.query<{ leaf: Digest }>(LEAVES[log], [first_number, last_number])).map(({ leaf }) => leaf);
}

/** From the batch's root to that of the head; undefined where it does not lead there. */
async function readBatchPath(
  tx: Tx,
  log: SealedLog,
  batch: BatchRow,
  head: HeadRow,
): Promise<readonly PathNode[] | undefined> {
  const batches = await tx.query<{ first_number: bigint; root: Digest }>(
    `SELECT first_number, root FROM seal_batches
     WHERE company_id = current_company() AND log = $1 AND first_number BETWEEN $2 AND $3 ORDER BY first_number`,
    [log, head.first_number, head.number],
  );
  const index = batches.findIndex(({ first_number }) => first_number === batch.first_number);
  if (index < 0) return undefined;
  const path = pathTo(
    index,
    batches.map(({ root }) => root),
  );
  const { root } = JSON.parse(head.head) as { root: string };
  return rootFrom(batch.root, path).toString('hex') === root ? path : undefined;
}
