import { hash } from 'node:crypto';
import type { SignedHead } from '../../workflows/seal-messages.ts';
import { crashPoint } from '../crash-points.ts';
import { type Pool, type Tx, transaction } from '../database.ts';
import { canonicalJson, type SealedLog } from './content.ts';
import { type Digest, rootOf } from './digests.ts';
import { becomeSealer } from './seal.ts';
import type { SigningKey } from './signing-key.ts';

/**
 * Heads: what has been sealed of a log, in one signed statement that leaves the database. A log gets its first head as soon as
 * something of it is sealed, then at most one an hour, and none while nothing is new.
 */

export type HeadOfLog = SignedHead & {
  readonly companyId: string;
  readonly log: SealedLog;
  readonly position: number;
};

const HEADS_A_RUN = 200;
/**
 * A head covers as many batches at most, so that each proof to it reads no more roots: about those of an hour. Where more have
 * gathered, as in a sweep, several heads follow one another at once.
 */
const BATCHES_A_HEAD = 4_096;
/** And as many rows, if that is more than one batch: an archived month has the leaves of all rows under the heads at its ends. */
const ROWS_A_HEAD = 100_000;
const NO_HEAD = '0'.repeat(64);

/** Signs the heads that are due, of all logs or of those companies. The login of `pool` is a member of accubooks_sealer. */
export function publishHeads(
  pool: Pool,
  key: SigningKey,
  {
    companyIds,
    batchesAHead = BATCHES_A_HEAD,
    rowsAHead = ROWS_A_HEAD,
  }: { readonly companyIds?: readonly string[]; readonly batchesAHead?: number; readonly rowsAHead?: number } = {},
): Promise<number> {
  return transaction(pool, async (tx) => {
    await becomeSealer(tx);
    // Heads follow one another: of several workers, one publishes.
    const [position] = await tx.query<{ epoch: number }>('SELECT epoch FROM seal_position FOR UPDATE SKIP LOCKED');
    if (position === undefined) return 0;
    // Before there is a head, so that a database which is restored to before its first one still knows the key.
    await tx.query('INSERT INTO seal_keys (key_id, public_key) VALUES ($1, $2) ON CONFLICT DO NOTHING', [
      key.id,
      key.publicKey,
    ]);
    await requireSameKey(tx, key);
    const due = await tx.query<DueLog>(DUE_LOGS, [companyIds ?? null, HEADS_A_RUN]);
    let published = 0;
    for (const log of due) published += await publishHeadsOf(tx, key, log, { batchesAHead, rowsAHead });
    crashPoint('seal: before COMMIT');
    return published;
  });
}

/** An ID stands for one key for ever: a verifier that has kept the first would call the heads of the second forged. */
async function requireSameKey(tx: Tx, { id, publicKey }: SigningKey): Promise<void> {
  const [known] = await tx.query<{ public_key: Buffer }>('SELECT public_key FROM seal_keys WHERE key_id = $1', [id]);
  if (known?.public_key.equals(publicKey)) return;
  throw new Error(
    `SEAL_SIGNING_KEY has the ID ${id}, under which another key has signed: give the new key an ID of its own`,
  );
}

type DueLog = {
  readonly company_id: string;
  readonly log: SealedLog;
  readonly head_position: number | null;
  readonly head_number: bigint | null;
  readonly head: string | null;
  readonly now: string;
};

const DUE_LOGS = `
SELECT c.id AS company_id, l.log, h.position AS head_position, h.number AS head_number, h.head, now() AS now
FROM companies c CROSS JOIN (VALUES ('journal'), ('audit')) AS l (log)
LEFT JOIN LATERAL (
  SELECT position, number, head, published_at FROM seal_heads h
  WHERE h.company_id = c.id AND h.log = l.log ORDER BY h.position DESC LIMIT 1
) AS h ON true
JOIN LATERAL (
  SELECT last_number FROM seal_batches b WHERE b.company_id = c.id AND b.log = l.log
  ORDER BY b.first_number DESC LIMIT 1
) AS b ON true
WHERE ($1::uuid[] IS NULL OR c.id = ANY ($1)) AND b.last_number > coalesce(h.number, 0)
  AND (h.position IS NULL OR h.published_at <= now() - interval '1 hour')
ORDER BY h.published_at NULLS FIRST LIMIT $2`;

type Batch = { readonly last_number: bigint; readonly head: Digest; readonly root: Digest; readonly epoch: number };

type HeadSize = { readonly batchesAHead: number; readonly rowsAHead: number };

async function publishHeadsOf(
  tx: Tx,
  key: SigningKey,
  due: DueLog,
  { batchesAHead, rowsAHead }: HeadSize,
): Promise<number> {
  let before = { position: due.head_position ?? 0, number: due.head_number ?? 0n, head: due.head };
  for (let published = 0; ; published += 1) {
    const batches = await tx.query<Batch>(
      `SELECT last_number, head, root, epoch FROM seal_batches WHERE company_id = $1 AND log = $2 AND first_number > $3
         AND (last_number - $3 <= $5 OR first_number = $3 + 1)
       ORDER BY first_number LIMIT $4`,
      [due.company_id, due.log, before.number, batchesAHead, rowsAHead],
    );
    const last = batches.at(-1);
    if (last === undefined) return published;
    before = await publishHead(tx, key, { due, before, batches, last });
  }
}

type HeadBefore = { readonly position: number; readonly number: bigint; readonly head: string | null };
type ToCover = {
  readonly due: DueLog;
  readonly before: HeadBefore;
  readonly batches: readonly Batch[];
  readonly last: Batch;
};

async function publishHead(tx: Tx, key: SigningKey, { due, before, batches, last }: ToCover): Promise<HeadBefore> {
  const { company_id: companyId, log } = due;
  const position = before.position + 1;
  const head = canonicalJson({
    version: 1,
    companyId,
    log,
    position,
    epoch: last.epoch,
    number: Number(last.last_number),
    digest: last.head.toString('hex'),
    root: rootOf(batches.map(({ root }) => root)).toString('hex'),
    previous: before.head === null ? NO_HEAD : hash('sha256', before.head, 'hex'),
    publishedAt: due.now,
  });
  const first = before.number + 1n;
  await tx.query(
    `INSERT INTO seal_heads (company_id, log, position, epoch, first_number, number, head, key_id, signature, published_at)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`,
    [companyId, log, position, last.epoch, first, last.last_number, head, key.id, key.sign(head), due.now],
  );
  return { position, number: last.last_number, head };
}

/** Heads that have not left the database yet, oldest first. */
export function headsToAnnounce(pool: Pool): Promise<readonly HeadOfLog[]> {
  return transaction(pool, async (tx) => {
    await becomeSealer(tx);
    return tx.query<HeadOfLog>(
      `SELECT company_id AS "companyId", log, position, head, key_id AS "keyId", translate(encode(signature, 'base64'), E'\n', '') AS signature
       FROM seal_heads WHERE announced_at IS NULL ORDER BY published_at, company_id, log, position LIMIT $1`,
      [HEADS_A_RUN],
    );
  });
}

export function markAnnounced(pool: Pool, heads: readonly HeadOfLog[]): Promise<unknown> {
  return transaction(pool, async (tx) => {
    await becomeSealer(tx);
    return tx.query(
      `UPDATE seal_heads h SET announced_at = clock_timestamp()
       FROM unnest($1::uuid[], $2::text[], $3::integer[]) AS k (company_id, log, position)
       WHERE h.company_id = k.company_id AND h.log = k.log AND h.position = k.position`,
      [heads.map(({ companyId }) => companyId), heads.map(({ log }) => log), heads.map(({ position }) => position)],
    );
  });
}
