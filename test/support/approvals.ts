import type pg from 'pg';
import { expect } from 'vitest';
import type { Company } from './companies.ts';

/** Replaces the company's policies. */
export async function setPolicies(company: Company, policies: readonly object[]): Promise<void> {
  const path = '/api/company/approval-policies';
  const { version } = (await company.api.get(path)).json;
  const answer = await company.api.post(path, { expectedVersion: version, policies }, { method: 'PATCH' });
  expect(answer.status, answer.text).toBe(200);
}

export function decide(company: Company, key: string, action: 'approve' | 'reject', role: 'admin' | 'owner' = 'admin') {
  return company.as(role).send('POST', `/api/writes/${encodeURIComponent(key)}/${action}`);
}

/** Sets the end of its time back, past what keeps a request as the approvers have seen it. Whoever wakes its run has it expire. */
export async function expire(owner: pg.Pool, company: Company, key: string): Promise<void> {
  const session = await owner.connect();
  try {
    await session.query("BEGIN; SET LOCAL session_replication_role = 'replica'");
    const { rowCount } = await session.query(
      `UPDATE approval_requests SET pending_since = pending_since - interval '30 days', expires_at = pending_since - interval '1 day'
       WHERE company_id = $1 AND idempotency_key = $2`,
      [company.id, key],
    );
    expect(rowCount).toBe(1);
    await session.query('COMMIT');
  } finally {
    session.release();
  }
}
