import { randomUUID } from 'node:crypto';
import type pg from 'pg';

/** Rows of the outbox as writes and the relay leave them, without the writes. */
export type OutboxRows = {
  company(webhookUrl?: string | null): Promise<string>;
  /** One event of the company, older than those made after it. Columns are SQL expressions. */
  event(companyId: string, columns?: Readonly<Record<string, string>>): Promise<string>;
  /** The columns of an event. */
  // biome-ignore lint/suspicious/noExplicitAny: each test says what it expects of a row
  read(id: string): Promise<any>;
};

export async function outboxRows(owner: pg.Pool): Promise<OutboxRows> {
  await owner.query('ALTER TABLE outbox DROP CONSTRAINT outbox_company_id_write_id_fkey');
  return {
    async company(webhookUrl = 'https://hooks.example.test/') {
      const id = randomUUID();
      await owner.query(
        "INSERT INTO companies (id, name, base_currency, webhook_url) VALUES ($1, 'A company', 'USD', $2)",
        [id, webhookUrl],
      );
      return id;
    },
    async event(companyId, columns = {}) {
      const id = randomUUID();
      const all = { kind: "'customer.created'", payload: "'{}'", ...columns };
      await owner.query(
        `INSERT INTO outbox (company_id, id, write_id, ${Object.keys(all).join()})
         VALUES ($1, $2, $2, ${Object.values(all).join()})`,
        [companyId, id],
      );
      return id;
    },
    async read(id) {
      const { rows } = await owner.query('SELECT * FROM outbox WHERE id = $1', [id]);
      return rows[0];
    },
  };
}
