import { expect, test } from 'vitest';
import type { Stake } from '../../deploy/operator/write/verify.ts';
import { stakeText } from '../../deploy/operator/write/verify-text.ts';

type CompanyStake = Stake['companies'][number];

const companyStake = (name: string, sums: Pick<CompanyStake, 'numbers' | 'amounts'>): CompanyStake => ({
  company: { id: `id-of-${name}`, name },
  writes: [],
  ...sums,
});

test('what a verification is about: each cell of its table says something, 0 where there is nothing', () => {
  const text = stakeText({
    replaced: null,
    verification: {} as Stake['verification'],
    losses: { groups: 2, keyRuns: 1, lost: [], inOwnRuns: 0, unreadable: [], lostVersions: 0 },
    companies: [
      companyStake('Both', { numbers: { invoice: 2, payment: 5 }, amounts: { EUR: 1n, USD: 9_007_199_254_740_993n } }),
      companyStake('None', { numbers: {}, amounts: {} }),
    ],
    ofUnknownCompanies: 0,
  });
  const cells = text.split('\n').map((line) => line.split(/ {2,}/));
  expect(cells).toContainEqual(['Both (id-of-Both)', '0', 'invoice 2, payment 5', 'EUR 1, USD 9007199254740993']);
  expect(cells).toContainEqual(['None (id-of-None)', '0', '0', '0']);
});
