/**
 * `npm run console:pictures`: the ten main states of the console in light, dark and on a phone, as docs/images/console shows them.
 * They are made from a running `npm start`, whose demo company gets some more writes; look at each before you commit it.
 */
import { randomUUID } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { readLocalJson } from '../../deploy/cli/local-json.ts';
import { LOOKS, type Look, launchBrowser, openPage } from './browser.ts';
import { createApiClient } from './client.ts';

const FOLDER = join(import.meta.dirname, '../../docs/images/console');

const local = readLocalJson();
if (local === undefined) throw new Error('No local system is running: npm start');
const { apiUrl: url, token, operatorToken } = local;
const api = createApiClient(url, token);
const at = randomUUID().slice(0, 6);
const keys = { paid: `payment-${at}`, rejected: `rejected-${at}`, waiting: `refund-${at}`, file: `payments-${at}` };
const entryId = await makeWrites();

/** Each state: its name, its address, and what is seen once it is there. */
const STATES: readonly (readonly [name: string, path: string, seen: string])[] = [
  ['sign-in', '/console/', 'Token'],
  ['find', '/console/', 'The newest writes'],
  ['write', `/console/writes/${keys.paid}`, 'Another request with its key'],
  ['write-rejected', `/console/writes/${keys.rejected}`, 'A rule refused it, and nothing was booked.'],
  ['write-waiting', `/console/writes/${keys.waiting}`, 'Nothing is booked until it is approved.'],
  ['approvals', '/console/approvals', keys.waiting],
  ['batch', `/console/batches/${keys.file}`, 'completed'],
  ['books', '/console/books', 'Trial balance'],
  ['entry', `/console/books/entries/${entryId}`, 'Proof'],
  ['now', '/console/now', 'In flight'],
];

const browser = await launchBrowser();
mkdirSync(FOLDER, { recursive: true });
for (const look of Object.keys(LOOKS) as Look[]) {
  for (const [name, path, seen] of STATES) {
    const { page, faults, close } = await openPage(browser, new URL(url).origin, look);
    if (name !== 'sign-in') await signIn(page);
    await page.goto(`${url}${path}`);
    // Who has asked for a write is not who it waits for.
    if (name === 'approvals') await page.getByLabel('All that waits and that I may read').check();
    await page.getByText(seen).first().waitFor();
    // What is asked for after the first answer is there as well.
    await page.waitForTimeout(1_500);
    await page.screenshot({ path: join(FOLDER, `${name}-${look}.png`), fullPage: name === 'write' });
    await close();
    console.log(`${name}-${look}.png${faults.length === 0 ? '' : `: ${faults.join('; ')}`}`);
  }
}
await browser.close();

async function signIn(page: Page): Promise<void> {
  await page.goto(`${url}/console/#token=${token}&operator=${operatorToken}`);
  await page.getByRole('heading', { level: 1, name: 'Find a write' }).waitFor();
}

/** A payment that was sent again, as it was and with another amount; a rejection; a refund that waits; a file. */
async function makeWrites(): Promise<string> {
  const { items } = (await api.get('/api/invoices?status=finalized&limit=1')).json;
  const invoiceId = items[0].id;
  const payment = (amount: number) => ({
    ...{ invoiceId, amount, currency: 'USD', method: 'bank_transfer', receivedOn: '2026-03-10', reference: 'TRF-4711' },
  });
  const paid = await api.post('/api/payments', payment(100), { key: keys.paid });
  await api.post('/api/payments', payment(100), { key: keys.paid });
  await api.post('/api/payments', payment(150), { key: keys.paid });
  await api.post('/api/payments', payment(900_000_000), { key: keys.rejected });
  const { version } = (await api.get('/api/company/approval-policies')).json;
  const policies = [{ operation: 'createRefund', approverRoles: ['owner', 'admin', 'accountant'] }];
  await api.post('/api/company/approval-policies', { expectedVersion: version, policies }, { method: 'PATCH' });
  await api.post('/api/refunds', { paymentId: paid.json.id, amount: 50, reason: 'Paid twice' }, { key: keys.waiting });
  const rows = [1, 2, 3, 900_000_000].map((amount, n) => ({ key: `${keys.file}:${n}`, body: payment(amount) }));
  const sent = await fetch(`${url}/api/batches?operation=createPayment`, {
    ...{ method: 'POST', body: rows.map((row) => `${JSON.stringify(row)}\n`).join('') },
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/x-ndjson', 'idempotency-key': keys.file },
  });
  if (!sent.ok) throw new Error(await sent.text());
  return paid.json.journalEntryId;
}
