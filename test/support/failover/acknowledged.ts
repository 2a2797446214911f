import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { expect } from 'vitest';
import type { Answer } from '../client.ts';
import type { Company } from '../companies.ts';
import { paymentBody } from '../effects.ts';
import { carrierOf, type Groups } from '../groups.ts';
import { until } from '../held-invoice.ts';
import { untilFinal } from '../persistent.ts';

/** A payment that its client holds the 201 of. */
export type Acknowledged = {
  readonly key: string;
  readonly body: ReturnType<typeof paymentBody>;
  readonly answer: Answer;
};

export type Payer = {
  readonly owner: pg.Pool;
  readonly company: Company;
  /** Of the API that `groups` stands behind. */
  readonly url: string;
  readonly groups: Groups;
};

/** Payments of one invoice: one alone, and some that travelled together. */
export async function payInBothLanes(payer: Payer, invoiceId: string): Promise<Acknowledged[]> {
  const alone = await payAlone(payer, invoiceId);
  return [alone, ...(await payTogether(payer, invoiceId, 3))];
}

export async function payAlone({ owner, company, url }: Payer, invoiceId: string): Promise<Acknowledged> {
  const [key, body] = [randomUUID(), paymentBody(invoiceId, 101)];
  const { final } = await untilFinal(() => pay(company, url, { key, body }));
  expect(final).toMatchObject({ status: 201 });
  expect(await carrierOf(owner, company, key)).not.toMatch(/^group:/);
  return { key, body, answer: final };
}

/** After a start or a verification it takes a while until writes travel in groups again: until then they go alone. */
export async function payTogether(payer: Payer, invoiceId: string, count: number): Promise<Acknowledged[]> {
  let paid: Acknowledged[] = [];
  await until('a group', async () => {
    paid = await payAtOnce(payer, invoiceId, count);
    const carriers = await Promise.all(paid.map(({ key }) => carrierOf(payer.owner, payer.company, key)));
    return carriers.every((carrier) => carrier?.startsWith('group:'));
  });
  return paid;
}

async function payAtOnce({ company, url, groups }: Payer, invoiceId: string, count: number): Promise<Acknowledged[]> {
  const writes = Array.from({ length: count }, (_, index) => ({
    key: randomUUID(),
    body: paymentBody(invoiceId, 200 + index),
  }));
  const answers = await Promise.all(
    await groups.together(url, company, () => writes.map((write) => pay(company, url, write))),
  );
  await groups.untilOthersEnded(url);
  return writes.map((write, index) => {
    const answer = answers[index] as Answer;
    expect(answer).toMatchObject({ status: 201, replayed: false });
    return { ...write, answer };
  });
}

export type Request = { readonly key: string; readonly body: ReturnType<typeof paymentBody> };

export function pay(company: Company, url: string, { key, body }: Request): Promise<Answer> {
  return company.as('owner', url).post('/api/payments', body, { key });
}
