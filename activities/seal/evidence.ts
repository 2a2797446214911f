import { type Pool, transaction } from '../database.ts';
import type { HeadOfLog } from './heads.ts';
import { becomeSealer } from './seal.ts';
import type { Evidence, EvidenceKind } from './witness.ts';

/**
 * Which heads have no evidence yet. Only the newest of each log is asked about: it names the one before, which names the one before
 * that, so that what shows that it was there shows it of all of them. After days without a witness there is no backlog.
 */

/** Since when no head of the log has got any: kept by the database, of the newest head alone, and NULL where that has some. */
const WAITS_SINCE: Readonly<Record<EvidenceKind, string>> = { 'time-stamp': 'unstamped_since' };

/** `publishedAt` as text: of more digits than a Date has. */
export type WaitingHead = HeadOfLog & { readonly publishedAt: string };

/**
 * The newest first, behind `after`: one that no witness accepts is in the way of none. The login of `pool` is a member of
 * accubooks_sealer.
 */
export function headsWithoutEvidence(
  pool: Pool,
  kind: EvidenceKind,
  { limit, after }: { readonly limit: number; readonly after?: WaitingHead | undefined },
): Promise<readonly WaitingHead[]> {
  return transaction(pool, async (tx) => {
    await becomeSealer(tx);
    return tx.query<WaitingHead>(
      `SELECT h.company_id AS "companyId", h.log, h.position, h.head, h.key_id AS "keyId",
         translate(encode(h.signature, 'base64'), E'\\n', '') AS signature, h.published_at::text AS "publishedAt"
       FROM seal_heads h
       WHERE h.${WAITS_SINCE[kind]} IS NOT NULL
         AND ($2::timestamptz IS NULL OR (h.published_at, h.company_id, h.log) < ($2::timestamptz, $3::uuid, $4::text))
       ORDER BY h.published_at DESC, h.company_id DESC, h.log DESC LIMIT $1`,
      [limit, after?.publishedAt ?? null, after?.companyId ?? null, after?.log ?? null],
    );
  });
}

export async function someHeadWaits(pool: Pool, kind: EvidenceKind): Promise<boolean> {
  return (await headsWithoutEvidence(pool, kind, { limit: 1 })).length > 0;
}

/**
 * How long it is that no head of a log has got evidence: the age of the oldest one behind the last that has, of whichever log it is
 * longest. 0 if none waits, undefined where it is not known.
 */
export async function evidenceLagSeconds(pool: Pool, kind: EvidenceKind): Promise<number | undefined> {
  try {
    const [row] = await transaction(pool, async (tx) => {
      await becomeSealer(tx);
      return tx.query<{ lag: number }>(
        `SELECT coalesce(extract(epoch FROM clock_timestamp() - min(${WAITS_SINCE[kind]})), 0)::double precision AS lag
         FROM seal_heads WHERE ${WAITS_SINCE[kind]} IS NOT NULL`,
      );
    });
    return row?.lag;
  } catch {
    return undefined;
  }
}

/** What is there already stays: of two workers, the first. */
export function keepEvidence(pool: Pool, head: HeadOfLog, kind: EvidenceKind, evidence: Evidence): Promise<unknown> {
  return transaction(pool, async (tx) => {
    await becomeSealer(tx);
    return tx.query(
      `INSERT INTO seal_evidence (company_id, log, position, kind, evidence, proves_at) VALUES ($1, $2, $3, $4, $5, $6)
       ON CONFLICT DO NOTHING`,
      [head.companyId, head.log, head.position, kind, evidence.bytes, evidence.at],
    );
  });
}
