import type { Tx } from '../database.ts';

/**
 * Up to where is sealed, and the epochs: another begins where the server was restored or replaced, with a sweep of whatever is not
 * sealed yet.
 */

export type Phase = 'sweep entries' | 'sweep audit rows' | 'follow';
export type Position = {
  readonly epoch: number;
  readonly phase: Phase;
  readonly swept_company: string;
  /** The last entry of the company that was looked at; of another company it is left over. */
  readonly swept_entry: EntryKey | null;
  /** As text: of more digits than a Date has. */
  readonly swept_until: string;
  readonly xid: string;
  readonly audit_id: bigint;
};

/** Begins the first epoch where there is none yet, and another one where the server was verified as another. */
export async function lockPosition(tx: Tx): Promise<Position | 'busy' | 'unverified'> {
  const [server] = await tx.query<Server & { trusted: boolean }>(
    `SELECT trusted_version() IS NOT NULL AS trusted, epoch AS verification_epoch,
       regexp_replace(incarnation, '/\\d+/', '/') AS database FROM verification`,
  );
  if (server?.trusted !== true) return 'unverified';
  const [last] = await tx.query<Server & { epoch: number }>(
    'SELECT epoch, verification_epoch, database FROM seal_epochs ORDER BY epoch DESC LIMIT 1',
  );
  const isSame = last?.verification_epoch === server.verification_epoch && last.database === server.database;
  if (!isSame) await beginEpoch(tx, (last?.epoch ?? 0) + 1, server);
  const [position] = await tx.query<Position>(
    `SELECT epoch, phase, swept_company, swept_entry, swept_until::text, xid::text, audit_id
     FROM seal_position FOR UPDATE SKIP LOCKED`,
  );
  return position ?? 'busy';
}

/** `database`: its incarnation without the time of its start. Another one counts transactions anew. */
type Server = { readonly verification_epoch: string; readonly database: string };

/**
 * All that no snapshot has shown yet has a later transaction than the oldest that is open now. The epoch has the statement of the
 * operator who verified the database.
 */
async function beginEpoch(tx: Tx, epoch: number, { verification_epoch, database }: Server): Promise<void> {
  await tx.query(
    `INSERT INTO seal_epochs (epoch, verification_epoch, database, operator, reason)
     SELECT $1, $2, $3, o.operator, o.reason FROM (SELECT 1) AS one LEFT JOIN operator_verifications o ON o.epoch = $2`,
    [epoch, verification_epoch, database],
  );
  await tx.query(
    `INSERT INTO seal_position (epoch, xid) VALUES ($1, pg_snapshot_xmin(pg_current_snapshot()))
     ON CONFLICT (one) DO UPDATE SET epoch = excluded.epoch, xid = excluded.xid, phase = DEFAULT, swept_company = DEFAULT,
       swept_entry = DEFAULT, swept_until = DEFAULT, audit_id = DEFAULT`,
    [epoch],
  );
}

/** In the order in which a company's entries are swept. `at` as text: of more digits than a Date has. */
export type EntryKey = { readonly company: string; readonly day: string; readonly at: string; readonly id: string };

/** Of a company's logs, before anything of them is sealed in the epoch: where it goes on, and the last published head. */
export async function nameStarts(tx: Tx, epoch: number, companyId: string): Promise<void> {
  await tx.query(
    `INSERT INTO seal_epoch_starts (epoch, company_id, log, number, digest, head_position)
     SELECT $1, $2, l.log, b.last_number, b.head, h.position
     FROM (VALUES ('journal'), ('audit')) AS l (log)
     JOIN LATERAL (
       SELECT last_number, head FROM seal_batches b WHERE b.company_id = $2 AND b.log = l.log
       ORDER BY b.first_number DESC LIMIT 1
     ) AS b ON true
     LEFT JOIN LATERAL (
       SELECT position FROM seal_heads h WHERE h.company_id = $2 AND h.log = l.log ORDER BY h.position DESC LIMIT 1
     ) AS h ON true
     ON CONFLICT DO NOTHING`,
    [epoch, companyId],
  );
}
