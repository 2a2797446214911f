import { expect } from 'vitest';
import { checkControls } from '../../activities/controls/controls.ts';
import type { Answer, ApiClient } from './client.ts';
import type { Company } from './companies.ts';
import type { System } from './system.ts';

/** Signed amounts by account. */
type Lines = Readonly<Record<string, number>>;

export const told = ({ status, json }: Answer) => [status, json.code];
export const close = (api: ApiClient, year: number) => api.post(`/api/ledger/fiscal-years/${year}/close`, {});
export const reopen = (api: ApiClient, year: number, reason = 'A late invoice') =>
  api.post(`/api/ledger/fiscal-years/${year}/reopen`, { reason });
export const yearOf = async (api: ApiClient, year: number) => (await api.get(`/api/ledger/fiscal-years/${year}`)).json;
export const closedThrough = async (api: ApiClient) => (await api.get('/api/company/settings')).json.booksClosedThrough;
export const patchSettings = (api: ApiClient, body: object) =>
  api.post('/api/company/settings', body, { method: 'PATCH' });

export function post(api: ApiClient, date: string, lines: Lines, currency = 'USD'): Promise<Answer> {
  return api.post('/api/ledger/entries', {
    date,
    description: 'By hand',
    currency,
    lines: Object.entries(lines).map(([accountCode, amount]) => ({ accountCode, amount })),
  });
}

/** Of 2024: 700 of income, 200 and 50 of expenses in USD, and 30 of expenses in EUR. Of 2025: 40 of expenses. */
export async function companyOfTwoYears(system: System): Promise<Company> {
  const company = await system.company();
  for (const [date, currency, lines] of [
    ['2024-03-01', 'USD', { 1000: 700, 4000: -700 }],
    ['2024-12-31', 'USD', { 6900: 200, 5000: 50, 1000: -250 }],
    ['2024-06-30', 'EUR', { 6900: 30, 2000: -30 }],
    ['2025-01-01', 'USD', { 6900: 40, 1000: -40 }],
  ] as const) {
    expect((await post(company.api, date, lines, currency)).status).toBe(201);
  }
  return company;
}

/** The controls that do not hold in the books of the company. */
export async function brokenOf({ owner }: System, { id }: Company) {
  return (await checkControls(owner, [id])).filter(({ broken }) => broken.length > 0);
}
