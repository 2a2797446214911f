import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'vitest';
import type { Answer } from '../client.ts';
import { runCommand } from '../commands.ts';
import { countEffects, paymentBody } from '../effects.ts';
import { until } from '../held-invoice.ts';
import { type Acknowledged, type Payer, pay, type Request } from './acknowledged.ts';
import type { FailoverServers } from './servers.ts';

/** What clients and operators are told after a loss. Both sides of each promise: no false 201, and no false 500. */

/** The restore took the rows: without that, a test would show nothing. */
export async function expectGone({ owner, company }: Payer, lost: readonly Acknowledged[]): Promise<void> {
  const { rows } = await owner.query(
    'SELECT idempotency_key FROM idempotent_writes WHERE company_id = $1 AND idempotency_key = ANY($2)',
    [company.id, lost.map(({ key }) => key)],
  );
  expect(rows).toEqual([]);
}

/** Not yet verified: whoever has a row is answered from it, and nobody else is told anything final. */
export async function expectClosed(
  payer: Payer,
  { lost, kept }: { lost: readonly Acknowledged[]; kept: readonly Acknowledged[] },
): Promise<void> {
  const { company, url } = payer;
  const [first] = kept;
  if (first === undefined) throw new Error('Bug! Nothing is kept');
  const unknown: Request = { key: randomUUID(), body: paymentBody(first.body.invoiceId, 5) };
  // One at a time, and all together.
  for (const write of [...lost, unknown]) expectRefused(await pay(company, url, write));
  const together = await Promise.all([...lost, unknown].map((write) => pay(company, url, write)));
  for (const answer of together) expectRefused(answer);
  for (const { key } of lost) expectRefused(await company.as('owner', url).get(`/api/writes/${key}`));
  await expectReplayed(payer, kept);
}

export function expectRefused(answer: Answer): void {
  expect(answer).toMatchObject({ status: 503, json: { code: 'storage_unavailable' } });
  expect(answer.headers.get('retry-after')).toBe('2');
}

export async function expectReplayed({ company, url }: Payer, kept: readonly Acknowledged[]): Promise<void> {
  for (const { key, body, answer } of kept) {
    const again = await pay(company, url, { key, body });
    expect(again).toMatchObject({ status: 201, text: answer.text, replayed: true });
  }
}

/** Verified: what was lost is told, by any body, alone and among others; nobody else notices. */
export async function expectTold(
  payer: Payer,
  { lost, kept }: { lost: readonly Acknowledged[]; kept: readonly Acknowledged[] },
): Promise<void> {
  const { owner, company, url } = payer;
  for (const write of lost) expectMissing(await pay(company, url, write));
  for (const { key, body } of lost) {
    expectMissing(await pay(company, url, { key, body: { ...body, amount: body.amount + 1 } }));
  }
  const others: Request[] = Array.from({ length: 5 }, (_, index) => ({
    key: randomUUID(),
    body: paymentBody(kept[0]?.body.invoiceId ?? '', 10 + index),
  }));
  const together = [...lost, ...others].map(async (write: Request) => ({
    write,
    answer: await pay(company, url, write),
  }));
  for (const { write, answer } of await Promise.all(together)) {
    if (others.includes(write)) expect(answer).toMatchObject({ status: 201, replayed: false });
    else expectMissing(answer);
  }
  await expectReplayed(payer, kept);
  for (const { key } of lost) {
    const resource = await company.as('owner', url).get(`/api/writes/${key}`);
    expect(resource).toMatchObject({ status: 200, json: { key, state: 'lost' } });
    const effects = await countEffects(owner, { companyId: company.id, table: 'payments', key });
    expect(effects).toMatchObject({ writes: 0, rows: 0, entries: 0, newAudit: 0, failedAudit: 1, events: 0 });
  }
}

export function expectMissing(answer: Answer): void {
  expect(answer).toMatchObject({ status: 500, replayed: false, json: { code: 'write_record_missing' } });
}

export type Trust = 'trusted' | 'verifying' | 'replaced';

/** Of one API, as a load balancer sees it: ready all the time, because replays and reads are served. */
export async function readTrust(url: string): Promise<string> {
  const answer = await fetch(`${url}/readyz`);
  const { checks } = (await answer.json()) as { checks: Record<string, string> };
  return answer.status === 200 ? String(checks['trust']) : `${answer.status} ${JSON.stringify(checks)}`;
}

export async function untilTrust(url: string, trust: Trust, patienceMs = 45_000): Promise<void> {
  const deadline = performance.now() + patienceMs;
  let last = await readTrust(url);
  while (last !== trust) {
    if (performance.now() > deadline) throw new Error(`It did not become ${trust}: it is ${last}`);
    await sleep(20);
    last = await readTrust(url);
  }
}

/**
 * Until the server that answers now is verified, without an operator. A process that has not looked since it was replaced
 * still says that it trusts the one before.
 */
export async function untilOpenByItself({ owner }: Payer): Promise<void> {
  await until('the server to be verified', async () => {
    const { rows } = await owner.query(
      'SELECT incarnation = incarnation() AS "isVerified", replaced FROM verification',
    );
    if (rows[0].replaced !== null) throw new Error(`It waits for an operator: ${rows[0].replaced}`);
    return rows[0].isVerified;
  });
}

/** The operator's command, as its user runs it. */
export function verify({ environment, owner }: FailoverServers, ...options: readonly string[]) {
  return runCommand('deploy/operator/write/main.ts', ['verify', '--reason', 'a restore of a test', ...options], {
    DATABASE_URL: (owner.options as { connectionString: string }).connectionString,
    TEMPORAL_ADDRESS: environment['TEMPORAL_ADDRESS'] ?? '',
  });
}
