import { type Pool, transaction } from '../database.ts';
import type { HeadOfLog } from './heads.ts';
import { becomeSealer } from './seal.ts';
import type { Evidence, EvidenceKind } from './witness.ts';

/**
 * Which heads have no evidence yet. Only the newest of each log is asked about: it names the one before, which names the one before
 * that, so that what shows that it was there shows it of all of them. After days without a witness there is no backlog.
 */

const NEWEST_WITHOUT = `
FROM companies c CROSS JOIN (VALUES ('journal'), ('audit')) AS l (log)
JOIN LATERAL (
  SELECT company_id, log, position, head, key_id, signature, published_at FROM seal_heads h
  WHERE h.company_id = c.id AND h.log = l.log ORDER BY h.position DESC LIMIT 1
) AS h ON true
WHERE NOT EXISTS (SELECT FROM seal_evidence e
  WHERE e.company_id = h.company_id AND e.log = h.log AND e.position = h.position AND e.kind = $1)`;

/** The newest first: one that no witness accepts is in the way of none. The login of `pool` is a member of accubooks_sealer. */
export function headsWithoutEvidence(pool: Pool, kind: EvidenceKind, limit: number): Promise<readonly HeadOfLog[]> {
  return transaction(pool, async (tx) => {
    await becomeSealer(tx);
    return tx.query<HeadOfLog>(
      `SELECT h.company_id AS "companyId", h.log, h.position, h.head, h.key_id AS "keyId",
         translate(encode(h.signature, 'base64'), E'\\n', '') AS signature
       ${NEWEST_WITHOUT} ORDER BY h.published_at DESC, h.company_id, h.log LIMIT $2`,
      [kind, limit],
    );
  });
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
        `SELECT coalesce(extract(epoch FROM clock_timestamp() - min(w.published_at)), 0)::double precision AS lag
         FROM companies c CROSS JOIN (VALUES ('journal'), ('audit')) AS l (log)
         JOIN LATERAL (
           SELECT h.published_at FROM seal_heads h
           WHERE h.company_id = c.id AND h.log = l.log AND h.position > coalesce((
             SELECT e.position FROM seal_evidence e WHERE e.company_id = c.id AND e.log = l.log AND e.kind = $1
             ORDER BY e.position DESC LIMIT 1), 0)
           ORDER BY h.position LIMIT 1
         ) AS w ON true`,
        [kind],
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
