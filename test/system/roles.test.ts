import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { brokenControls } from '../../activities/controls/controls.ts';
import type { Operation } from '../../activities/operation.ts';
import { OPERATIONS } from '../../activities/operation-list.ts';
import { ROLES, type Role } from '../../activities/roles.ts';
import type { Write } from '../../deploy/client/src/submit-write.ts';
import { type Answer, createApiClient } from '../support/client.ts';
import type { Company } from '../support/companies.ts';
import { countEverything } from '../support/effects.ts';
import { type Examples, openExamples, sendAs } from '../support/examples.ts';
import { until } from '../support/held-invoice.ts';
import { holdKeys } from '../support/held-keys.ts';
import { type System, startSystem } from '../support/system.ts';
import { signToken } from '../support/tokens.ts';

/**
 * Who may write what of the books, by hand: the operations have to agree with it. An owner and an admin may write all;
 * here stands who else may, and what an owner alone may. An operation that is not named here is held to what it declares itself.
 */
const WHO_ELSE: Readonly<Record<string, readonly Role[]>> = {
  createCustomer: ['accountant', 'manager'],
  updateCustomer: ['accountant', 'manager'],
  createInvoice: ['accountant', 'manager'],
  finalizeInvoice: ['accountant', 'manager'],
  discardInvoice: ['accountant', 'manager'],
  voidInvoice: ['accountant'],
  createCreditNote: ['accountant'],
  writeOffInvoice: ['accountant'],
  recoverWriteOff: ['accountant'],
  createPayment: ['accountant'],
  createRefund: ['accountant'],
  recordInvoiceReminder: ['manager'],
  createEmployee: ['manager'],
  updateEmployee: ['manager'],
  createPayRun: ['accountant'],
  approvePayRun: ['accountant'],
  executePayroll: [],
  voidPayRun: ['accountant'],
  createInventoryItem: ['manager', 'inventory_manager'],
  updateInventoryItem: ['manager', 'inventory_manager'],
  adjustInventory: ['manager', 'inventory_manager'],
  importBankTransactions: ['accountant'],
  reconcileLedger: ['accountant'],
  unreconcileBankTransaction: ['accountant'],
  createAccount: ['accountant'],
  createJournalEntry: ['accountant'],
  reverseJournalEntry: ['accountant'],
  triggerWorkflow: ['manager'],
  updateCompanySettings: [],
  grantUserAccess: [],
};
/** Which lower a control: an admin may not. */
const OF_OWNERS: ReadonlySet<string> = new Set(['reopenFiscalYear', 'updateApprovalPolicies']);

function mayWrite({ name, roles }: Operation): readonly Role[] {
  return OF_OWNERS.has(name) ? ['owner'] : ['owner', 'admin', ...(WHO_ELSE[name] ?? roles)];
}

let system: System;
let company: Company;
let examples: Examples;
beforeAll(async () => {
  system = await startSystem();
  company = await system.company();
  examples = await openExamples(system);
});
afterAll(async () => {
  await examples.close();
  await system.stop();
});

describe('each role writes what the books let it write, and nothing else', () => {
  test('every operation that is named here is there', () => {
    expect(OPERATIONS.map(({ name }) => name)).toEqual(
      expect.arrayContaining([...Object.keys(WHO_ELSE), ...OF_OWNERS]),
    );
  });

  test('and four roles write nothing, whatever else there will be to write', () => {
    const readers: readonly Role[] = ['auditor', 'employee', 'customer', 'user'];
    expect(OPERATIONS.filter(({ roles }) => roles.some((role) => readers.includes(role)))).toEqual([]);
  });

  test.each(OPERATIONS)('$name', async (operation) => {
    const told: unknown[] = [];
    const expected: unknown[] = [];
    const refused = await examples.make(operation, company);
    // One after the other: each change of the settings is of the version that the last one made.
    for (const role of ROLES) {
      const may = mayWrite(operation).includes(role);
      const write = may ? await examples.make(operation, company) : refused;
      const { status, json } = await sendAs(company, role, write);
      told.push([role, status, ...(status < 400 ? [] : [json.code])]);
      expected.push(may ? [role, operation.successStatus] : [role, 403, 'forbidden']);
    }
    expect(told).toEqual(expected);
    expect(await storedOf([refused.key])).toEqual([]);
  });

  test('several roles are worth what each of them is', async () => {
    const member = await newMember(['employee', 'inventory_manager']);
    const api = createApiClient(system.url, member.token);
    const item = { sku: 'BOTH', name: 'Both', currency: 'USD' };
    expect((await api.post('/api/inventory/items', item)).status).toBe(201);
    expect((await api.post('/api/customers', { name: 'Neither' })).json.code).toBe('forbidden');
  });
});

describe('a role that is revoked', () => {
  test('between the start and the transaction is missed there, in every operation, and that is stored', async () => {
    const member = await newMember(['owner']);
    const writes = await Promise.all(OPERATIONS.map((operation) => examples.make(operation, company)));
    const before = await countEverything(system.owner, company.id);
    const held = await holdKeys(system.owner, {
      companyId: company.id,
      userId: company.users.owner.id,
      keys: writes.map(({ key }) => key),
    });
    const answering = Promise.all(writes.map((write) => member.send(write)));
    // All have been let in as an owner; some are in their transaction, and the others wait for their turn.
    await held.untilMet();
    await until('all of them to be let in', async () => (await submissionsUnderWay()) === writes.length);
    await member.setRoles(['employee', 'auditor']);
    await held.release();

    for (const [index, answer] of (await answering).entries()) {
      const { name } = OPERATIONS[index] as (typeof OPERATIONS)[number];
      const { code, nextAction, requestId } = answer.json;
      expect([name, answer.status, code, nextAction, requestId]).toEqual([
        name,
        403,
        'forbidden',
        'use_new_key',
        undefined,
      ]);
    }
    const stored = await storedOf(writes.map(({ key }) => key));
    expect(stored).toEqual(writes.map(() => ({ outcome: 'rejected', audit: ['failed forbidden'] })));
    const { idempotent_writes: rows = 0, idempotent_write_audit_log: auditRows = 0, ...others } = before;
    expect(await countEverything(system.owner, company.id)).toEqual({
      ...others,
      idempotent_writes: rows + writes.length,
      idempotent_write_audit_log: auditRows + writes.length,
    });
    // For good: a role that is given back changes nothing for these keys, and nothing for who is allowed.
    await member.setRoles(['owner']);
    for (const write of writes) {
      const [again, byOwner] = [await member.send(write), await sendAs(company, 'owner', write)];
      expect([again.status, again.replayed, byOwner.text]).toEqual([403, true, again.text]);
    }
  });

  test('after the write is missed at the door: no stored answer, of any operation, until it is granted again', async () => {
    const member = await newMember(['owner']);
    const made: { write: Write; first: Answer }[] = [];
    for (const operation of OPERATIONS) {
      const write = await examples.make(operation, company);
      const first = await member.send(write);
      expect([operation.name, first.status]).toEqual([operation.name, operation.successStatus]);
      made.push({ write, first });
    }
    await member.setRoles(['employee', 'auditor']);
    const before = await countEverything(system.owner, company.id);
    for (const { write } of made) {
      const refused = await member.send(write);
      expect([refused.status, refused.json.code, refused.replayed]).toEqual([403, 'forbidden', false]);
      expect(Object.keys(refused.json).toSorted()).toEqual(DOOR_MEMBERS);
      expect(refused.headers.get('location')).toBeNull();
    }
    expect(await countEverything(system.owner, company.id)).toEqual(before);
    await member.setRoles(['owner']);
    for (const { write, first } of made) {
      const again = await member.send(write);
      expect([again.status, again.text, again.replayed]).toEqual([first.status, first.text, true]);
    }
  });
});

test('all of this leaves the controls holding, but for the members and roles that SQL has made', async () => {
  expect(Object.keys(await brokenControls(system.owner))).toEqual(['access-answers']);
});

/** What a refusal says that was made at the door: nothing of the write. */
const DOOR_MEMBERS = ['code', 'detail', 'instance', 'nextAction', 'requestId', 'retryable', 'status', 'title', 'type'];

async function newMember(roles: readonly Role[]) {
  const { rows } = await system.owner.query('SELECT create_user($1) AS id', [`member-${randomUUID()}@example.test`]);
  const userId: string = rows[0].id;
  await system.owner.query('INSERT INTO memberships (company_id, user_id, roles) VALUES ($1, $2, $3)', [
    company.id,
    userId,
    roles,
  ]);
  const token = await signToken({ userId, companyId: company.id });
  const api = createApiClient(system.url, token);
  return {
    token,
    send: ({ method, path, key, body }: Write) => api.post(path, body, { method, key, headers: { prefer: 'wait=60' } }),
    setRoles: (now: readonly Role[]) =>
      system.owner.query('UPDATE memberships SET roles = $3 WHERE company_id = $1 AND user_id = $2', [
        company.id,
        userId,
        now,
      ]),
  };
}

/** In the order of the keys: what became of each, and what the audit log says of it; nothing for a key that left nothing. */
async function storedOf(keys: readonly string[]): Promise<unknown[]> {
  const { rows } = await system.owner.query(
    `SELECT w.outcome, array_remove(array_agg(a.status || ' ' || a.error_code), NULL) AS audit
     FROM unnest($2::text[]) WITH ORDINALITY AS k (key, position)
     LEFT JOIN idempotent_writes w ON w.company_id = $1 AND w.idempotency_key = k.key
     LEFT JOIN idempotent_write_audit_log a ON a.company_id = $1 AND a.idempotency_key = k.key
     WHERE w.company_id IS NOT NULL OR a.company_id IS NOT NULL
     GROUP BY k.position, w.outcome ORDER BY k.position`,
    [company.id, keys],
  );
  return rows;
}

async function submissionsUnderWay(): Promise<number> {
  const page = await (await fetch(`${system.url}/metrics`)).text();
  return Number(/^write_flights(?:\{[^}]*\})? (\d+)$/m.exec(page)?.[1]);
}
