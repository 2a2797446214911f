import { readFileSync } from 'node:fs';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { setPolicies } from '../support/approvals.ts';
import { batchClient, ndjson, startBatchWorker } from '../support/batches.ts';
import { ownerUrlOf } from '../support/commands.ts';
import { paymentBody } from '../support/effects.ts';
import { sqlOfPage } from '../support/page-sql.ts';
import { publishNow, sealAllOf, sealKey } from '../support/seals.ts';
import { type System, startSystem } from '../support/system.ts';

const BLOCKS = sqlOfPage('docs/runbooks.md');
const RULES = readFileSync(new URL('../../deploy/prometheus/rules.yml', import.meta.url), 'utf8');
const ALERTS = [...new Set([...RULES.matchAll(/- alert: (\w+)/g)].map(([, name]) => name ?? ''))];
const ROLES: Readonly<Record<string, string | null>> = {
  accubooks_auditor: 'accubooks_auditor',
  accubooks_relay: 'accubooks_relay',
  'the owner': null,
  'an administrator': null,
};

describe('the runbooks', () => {
  let system: System;
  let person: pg.PoolClient;
  beforeAll(async () => {
    system = await startSystem();
    const company = await system.company();
    const body = paymentBody(await company.invoice());
    const pay = (sent: unknown) =>
      company.api.post('/api/payments', sent, { key: 'order-4711-payment', headers: { 'x-request-id': 'req-4711' } });
    await pay(body);
    await pay(body);
    await pay({ ...body, amount: 99 });
    await system.owner.query(
      `INSERT INTO idempotent_write_audit_log (company_id, operation_name, operation_type, idempotency_key, user_id, status,
         error_code, request_id, route_path, http_method)
       VALUES ($1, 'createPayment', 'financial', 'failed', $2, 'failed', 'write_failed', 'r', '/api/payments', 'POST')`,
      [company.id, company.users.owner.id],
    );
    // A batch with a row that came to nothing, and one that waits.
    const sender = batchClient(system, company);
    const worker = await startBatchWorker(system);
    await sender.send(ndjson([{ body: {} }]), { key: 'bad', operation: 'createCustomer' });
    await sender.over('bad');
    await worker.close();
    await sender.send(ndjson([{ body: {} }]), { key: 'waiting', operation: 'createCustomer' });
    await setPolicies(company, [{ operation: 'createAccount', approverRoles: ['admin'] }]);
    await company.api.post('/api/ledger/accounts', { code: '6100', name: 'Rent', type: 'expense' });
    await sealAllOf(system);
    await publishNow(system, [company.id], sealKey('runbooks'));
    // Somebody has a transaction open, which is what is looked for when writes are slow.
    person = await system.owner.connect();
    await person.query('BEGIN; SELECT FROM companies');
    // The system has no relay: what one would have left behind.
    await system.owner.query(`UPDATE outbox SET delivery_state = CASE kind WHEN 'payment.created' THEN 'pending' WHEN 'invoice.created' THEN 'given_up' ELSE 'none' END,
      sequence = nextval('outbox_sequence') WHERE kind IN ('payment.created', 'invoice.created')`);
  });
  afterAll(async () => {
    person.release(true);
    await system.stop();
  });

  test('have a section for each alert', () => {
    const page = readFileSync(new URL('../../docs/runbooks.md', import.meta.url), 'utf8');
    const sections = page.split(/^(?=#{2,3} )/m);
    const parts = ['What it means', 'First look', 'Likely causes', 'Fix', 'Resolved when'];
    const missing = ALERTS.flatMap((alert) => {
      const section = sections.find((text) => text.startsWith(`### Alert: ${alert}\n`)) ?? '';
      return parts.filter((part) => !section.includes(`**${part}`)).map((part) => `${alert}: ${part}`);
    });
    expect(missing).toEqual([]);
    expect(BLOCKS.length).toBeGreaterThan(15);
  });

  test.each(BLOCKS.map(({ sql, heading }, index) => ({ name: `${heading} (${index + 1})`, sql })))(
    '$name: the SQL runs as whom it says',
    async ({ sql }) => {
      const [, who = ''] = /^ *-- as (.+)$/m.exec(sql) ?? [];
      expect(Object.keys(ROLES)).toContain(who);
      const url = new URL(who === 'an administrator' ? inject('superuserUrl') : ownerUrlOf(system.owner));
      url.pathname = new URL(ownerUrlOf(system.owner)).pathname;
      const session = new pg.Client({ connectionString: url.href });
      await session.connect();
      try {
        await session.query('BEGIN');
        const role = ROLES[who];
        if (role) await session.query(`SET LOCAL ROLE ${role}`);
        const { rows, fields } = await session.query(sql);
        expect(fields.length).toBeGreaterThan(0);
        // A look that finds nothing in a database that has everything would look at the wrong place.
        expect(rows.length).toBeGreaterThanOrEqual(sql.includes('pg_replication_slots') ? 0 : 1);
        await session.query('ROLLBACK');
      } finally {
        await session.end();
      }
    },
  );
});
