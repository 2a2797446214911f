import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { expect } from 'vitest';
import type { Answer } from '../client.ts';
import type { Company } from '../companies.ts';
import { paymentBody } from '../effects.ts';
import { carrierOf, type Groups } from '../groups.ts';
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

export async function payTogether(
  { owner, company, url, groups }: Payer,
  invoiceId: string,
  count: number,
): Promise<Acknowledged[]> {
  const writes = Array.from({ length: count }, (_, index) => ({
    key: randomUUID(),
    body: paymentBody(invoiceId, 200 + index),
  }));
  const sent = await groups.together(url, company, () => writes.map((write) => pay(company, url, write)));
  const answers = await Promise.all(sent);
  return Promise.all(
    writes.map(async (write, index) => {
      const answer = answers[index] as Answer;
      expect(answer).toMatchObject({ status: 201, replayed: false });
      expect(await carrierOf(owner, company, write.key)).toMatch(/^group:/);
      return { ...write, answer };
    }),
  );
}

export type Request = { readonly key: string; readonly body: ReturnType<typeof paymentBody> };

export function pay(company: Company, url: string, { key, body }: Request): Promise<Answer> {
  return company.as('owner', url).post('/api/payments', body, { key });
}
