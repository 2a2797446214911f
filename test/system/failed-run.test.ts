import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Operation } from '../../activities/operation.ts';
import { OPERATIONS } from '../../activities/operation-list.ts';
import { createCustomer } from '../../activities/operations/create-customer.ts';
import { createPayment } from '../../activities/operations/create-payment.ts';
import type { Answer } from '../support/client.ts';
import type { Company } from '../support/companies.ts';
import { countEffects, paymentBody } from '../support/effects.ts';
import { oneByOne } from '../support/one-by-one.ts';
import { type System, startSystem } from '../support/system.ts';

describe('a run that fails by a bug', () => {
  let system: System;
  let company: Company;
  /** What is wrong with this release; none once it has been mended. */
  let bug: (() => Promise<void>) | undefined;
  let spoil: 'nothing' | 'exception' | 'unknown constraint' | 'undeclared rejection' = 'nothing';

  /** The operation does all of its work, and then meets the bug. */
  const withBug = (operation: Operation): Operation => ({
    ...oneByOne(operation),
    async write(tx, input, context) {
      const written = await operation.write(tx, input, context);
      await bug?.();
      if (spoil === 'exception') throw new TypeError('secret_internals: cannot read properties of undefined');
      if (spoil === 'unknown constraint') {
        await tx.query(`INSERT INTO customers (company_id, id, name, currency) VALUES ($1, $2, '', 'USD')`, [
          context.companyId,
          context.rowId('customers', 1),
        ]);
      }
      if (spoil === 'undeclared rejection') {
        throw context.reject('never_declared', 'secret_internals');
      }
      return written;
    },
  });
  beforeAll(async () => {
    system = await startSystem({
      operations: OPERATIONS.map((operation) =>
        operation === createPayment || operation === createCustomer ? withBug(operation) : operation,
      ),
    });
    company = await system.company();
  });
  afterAll(() => system.stop());

  function expectWriteFailed(answer: Answer, key: string): void {
    expect([answer.status, answer.json.code]).toEqual([500, 'write_failed']);
    expect(answer.json).toMatchObject({
      type: '/docs/errors#write_failed',
      retryable: true,
      nextAction: 'retry_same_key',
      writeUrl: `/api/writes/${key}`,
    });
    expect(answer.replayed).toBe(false);
    expect(answer.headers.get('idempotency-key')).toBe(key);
    expect(answer.text).not.toMatch(/secret_internals|TypeError|INSERT|customers_|constraint|SQL|\.ts\b|node_modules/);
  }

  test.each(['exception', 'unknown constraint', 'undeclared rejection'] as const)(
    'leaves nothing, says so, and the same key succeeds once it is mended: %s',
    async (kind) => {
      const key = `bug-${kind.length}`;
      const body = paymentBody(await company.invoice());
      const effects = () => countEffects(system.owner, { companyId: company.id, table: 'payments', key });
      spoil = kind;
      const failed = await company.api.post('/api/payments', body, { key });
      spoil = 'nothing';
      expectWriteFailed(failed, key);
      expect(await effects()).toEqual({
        writes: 0,
        rows: 0,
        entries: 0,
        newAudit: 0,
        replayedAudit: 0,
        failedAudit: 1,
        events: 0,
      });
      const { rows } = await system.owner.query(
        `SELECT error_code, status, operation_name, request_id FROM idempotent_write_audit_log
         WHERE company_id = $1 AND idempotency_key = $2`,
        [company.id, key],
      );
      const requestId = failed.headers.get('x-request-id');
      expect(rows).toEqual([
        { error_code: 'write_failed', status: 'failed', operation_name: 'createPayment', request_id: requestId },
      ]);
      const handle = system.temporal.workflow.getHandle(`${company.id}:${key}`);
      expect((await handle.describe()).status.name).toBe('FAILED');

      const mended = await company.api.post('/api/payments', body, { key });
      expect([mended.status, mended.replayed]).toEqual([201, false]);
      expect((await company.api.post('/api/payments', body, { key })).text).toBe(mended.text);
      expect(await effects()).toEqual({
        writes: 1,
        rows: 1,
        entries: 1,
        newAudit: 1,
        replayedAudit: 1,
        failedAudit: 1,
        events: 1,
      });
    },
  );

  test('holds no key: another body may take it, and no trace of the first is left', async () => {
    spoil = 'exception';
    expectWriteFailed(await company.api.post('/api/customers', { name: 'First' }, { key: 'let-go' }), 'let-go');
    spoil = 'nothing';
    const second = await company.api.post('/api/customers', { name: 'Second' }, { key: 'let-go' });
    expect([second.status, second.replayed, second.json.name]).toEqual([201, false, 'Second']);
  });

  test('is answered to all who waited for it, and to none as a replay', async () => {
    spoil = 'exception';
    let arrived = 0;
    bug = async () => {
      arrived += 1;
      await new Promise((resolve) => setTimeout(resolve, 300));
    };
    const answers = await Promise.all(
      Array.from({ length: 5 }, () => company.api.post('/api/customers', { name: 'Together' }, { key: 'together' })),
    );
    spoil = 'nothing';
    bug = undefined;
    for (const answer of answers) expectWriteFailed(answer, 'together');
    expect(arrived).toBe(1);
  });
});
