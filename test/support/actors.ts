import { randomUUID } from 'node:crypto';
import pg from 'pg';

/** Those who speak SQL to the database: API and worker do it as `application`, migrations and people as `owner`. */
export type Actor = 'application' | 'owner';

export type Actors = {
  /** One transaction as that actor, with the company set; committed, or rolled back when `work` throws. */
  as<T>(actor: Actor, companyId: string | undefined, work: (client: pg.PoolClient) => Promise<T>): Promise<T>;
  end(): Promise<void>;
};

export function actors(owner: pg.Pool, appUrl: string): Actors {
  const application = new pg.Pool({ connectionString: appUrl, max: 2 });
  application.on('error', () => undefined);
  return {
    async as(actor, companyId, work) {
      const client = await (actor === 'owner' ? owner : application).connect();
      try {
        await client.query('BEGIN');
        if (companyId !== undefined) await client.query("SELECT set_config('app.company_id', $1, true)", [companyId]);
        const result = await work(client);
        await client.query('COMMIT');
        return result;
      } catch (error) {
        await client.query('ROLLBACK');
        throw error;
      } finally {
        client.release();
      }
    },
    end: () => application.end(),
  };
}

/** Claims a key as the write path does, statement by statement; answers the write's ID. The outcome is still to come. */
export async function claimByHand(
  client: pg.PoolClient,
  companyId: string,
  userId: string,
  operation = 'byHand',
): Promise<string> {
  const writeId = randomUUID();
  await client.query(
    `INSERT INTO idempotent_writes (company_id, idempotency_key, write_id, submission_id, operation, type, fingerprint,
       schema_version, request, user_id, request_id, requested_at)
     VALUES ($1, $2::text, $2::uuid, $2::uuid, $4, 'financial', repeat('0', 64), 1, '{}', $3, 'by hand', now())`,
    [companyId, writeId, userId, operation],
  );
  return writeId;
}

/** Gives a claimed write its outcome, which lets it be committed. */
export async function rejectByHand(client: pg.PoolClient, companyId: string, writeId: string): Promise<void> {
  await client.query(
    `UPDATE idempotent_writes SET outcome = 'rejected', status_code = 409, response_body = '', completed_at = now()
     WHERE company_id = $1 AND idempotency_key = $2`,
    [companyId, writeId],
  );
}

/** An entry of that write; each line is an account's code, an amount and a currency. Answers the entry's ID. */
export async function postByHand(
  client: pg.PoolClient,
  companyId: string,
  writeId: string,
  lines: readonly (readonly [code: string, amountMinor: number | bigint, currency: string])[],
  date = '2026-05-05',
): Promise<string> {
  const entryId = randomUUID();
  await client.query(
    `INSERT INTO journal_entries (company_id, id, write_id, operation, entry_date, description)
     VALUES ($1, $2, $3, 'byHand', $4, 'by hand')`,
    [companyId, entryId, writeId, date],
  );
  for (const [index, [code, amountMinor, currency]] of lines.entries()) {
    await addLineByHand(client, companyId, entryId, { lineNumber: index + 1, code, amountMinor, currency });
  }
  return entryId;
}

export async function addLineByHand(
  client: pg.PoolClient,
  companyId: string,
  entryId: string,
  line: { lineNumber: number; code: string; amountMinor: number | bigint; currency: string },
): Promise<void> {
  await client.query(
    `INSERT INTO journal_lines (company_id, id, entry_id, line_number, account_id, amount_minor, currency)
     SELECT $1, gen_random_uuid(), $2, $3, a.id, $5, $6 FROM accounts a WHERE a.company_id = $1 AND a.code = $4`,
    [companyId, entryId, line.lineNumber, line.code, line.amountMinor, line.currency],
  );
}
