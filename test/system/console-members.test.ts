import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Browser, Page, Route } from 'playwright-core';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { Role } from '../../activities/roles.ts';
import { buildConsole } from '../../deploy/console/build-console.ts';
import { openThrowawayFolder, type ThrowawayFolder } from '../../deploy/local/throwaway-folder.ts';
import { setPolicies } from '../support/approvals.ts';
import { batchClient, ndjson, startBatchWorker } from '../support/batches.ts';
import { flawsOf, LOOKS, type Look, launchBrowser, openPage, type WatchedPage } from '../support/browser.ts';
import type { Company } from '../support/companies.ts';
import { paymentBody } from '../support/effects.ts';
import { verify } from '../support/seal-bundles.ts';
import { publishNow, sealAllOf, sealKey } from '../support/seals.ts';
import { type System, startSystem } from '../support/system.ts';
import { isInstalled, skipWithout } from '../support/tools.ts';

/** The books, batches and approvals in the console, and what may be done with a write. */

const VERIFIER = join(import.meta.dirname, '../../deploy/operator/audit-export');

let folder: ThrowawayFolder;
let system: System;
let worker: Awaited<ReturnType<typeof startBatchWorker>>;
let company: Company;
let browser: Browser | undefined;
let invoiceId: string;
let entryId: string;

beforeAll(async () => {
  folder = openThrowawayFolder();
  await buildConsole(folder.path);
  system = await startSystem({ environment: { CONSOLE_FOLDER: folder.path } });
  worker = await startBatchWorker(system);
  company = await system.company('Members Ltd');
  invoiceId = await company.invoice();
  const paid = await company.api.post('/api/payments', paymentBody(invoiceId, 2_500), { key: 'sealed' });
  entryId = paid.json.journalEntryId;
  await sealAllOf(system);
  await publishNow(system, [company.id], sealKey('console-key'));
  const approverRoles = ['owner', 'admin'];
  await setPolicies(company, [
    { operation: 'createRefund', approverRoles },
    { operation: 'voidPayment', approverRoles },
  ]);
  const rows = [1, 2, 3, 999_999_999].map((amount, at) => ({ key: `row-${at}`, body: paymentBody(invoiceId, amount) }));
  const api = batchClient(system, company);
  await api.send(ndjson(rows), { key: 'file', operation: 'createPayment' });
  await api.over('file');
  if (isInstalled('chromium')) browser = await launchBrowser();
});
beforeEach((context) => skipWithout('chromium', context));
afterAll(async () => {
  await browser?.close();
  await worker?.close();
  await system?.stop();
  folder?.remove();
});

/** Signed in with a role, on a page of the console. */
async function openAt(path: string, { role = 'owner', look = 'light' }: { role?: Role; look?: Look } = {}) {
  const watched: WatchedPage = await openPage(browser, system.url, look);
  await watched.page.goto(`${system.url}/console/#token=${company.users[role].token}`);
  await watched.page.getByRole('heading', { level: 1, name: 'Find a write' }).waitFor();
  await watched.page.goto(`${system.url}${path}`);
  return watched;
}

/** A refund that waits for its approval. */
async function waitingRefund(key: string): Promise<void> {
  const payment = await company.api.created('/api/payments', paymentBody(invoiceId, 100), { key: `paid-${key}` });
  const body = { paymentId: payment.id, amount: 50, reason: `for ${key}` };
  const asked = await company.as('accountant').post('/api/refunds', body, { key });
  expect(asked.status, asked.text).toBe(202);
}

/** What the page has sent. */
function sentBy(page: Page): readonly string[] {
  const sent: string[] = [];
  page.on('request', (request) => {
    if (request.method() === 'POST') sent.push(new URL(request.url()).pathname);
  });
  return sent;
}

async function savedBy(page: Page, button: string): Promise<string> {
  const [download] = await Promise.all([
    page.waitForEvent('download'),
    page.getByRole('button', { name: button }).click(),
  ]);
  const path = join(folder.path, download.suggestedFilename());
  await download.saveAs(path);
  return path;
}

describe('the books', () => {
  test('lead from the trial balance of a day to an account, an entry and what wrote it', async () => {
    const { page, faults, close } = await openAt('/console/books?asOf=2026-02-01');
    await page.getByRole('link', { name: /^1000 / }).click();
    await page.getByRole('heading', { level: 1, name: /^1000 / }).waitFor();
    await page
      .getByRole('row', { name: /25\.00/ })
      .getByRole('link')
      .click();
    await page.getByRole('heading', { level: 1, name: 'Entry 2' }).waitFor();
    await page.getByRole('link', { name: 'createPayment sealed' }).click();
    await page.getByRole('heading', { level: 1, name: 'sealed' }).waitFor();
    await page.getByRole('link', { name: entryId }).waitFor();
    await page.goto(`${system.url}/console/books?asOf=2020-01-01`);
    await page.getByText('No entry is dated up to 2020-01-01.').waitFor();
    expect(faults).toEqual([]);
    await close();
  });

  test('show an entry with its proof, which the browser checks, and verify.mjs after it', async () => {
    const { page, faults, close } = await openAt(`/console/books/entries/${entryId}`);
    await page.getByText('The entry is in the books as it was sealed.').waitFor();
    await page.getByText('The row of the audit log is in the books as it was sealed.').waitFor();
    const [proof, keys] = [await savedBy(page, 'Download the proof'), await savedBy(page, 'Download the keys')];
    expect(await verify(VERIFIER, { proof, keys })).toMatchObject({ code: 0, differences: [] });
    // The same proof, of another amount.
    const altered = readFileSync(proof, 'utf8').replaceAll('2500', '2501');
    await page.route('**/proof', (route) => route.fulfill({ contentType: 'application/json', body: altered }));
    await page.reload();
    await page.getByText('The entry is not proved:').waitFor();
    expect(faults).toEqual([]);
    await close();
  });

  test('say so where a proof is not there yet, and where the caller may not read them', async () => {
    const later = await company.api.created('/api/payments', paymentBody(invoiceId, 77), { key: 'later' });
    const { page, faults, close } = await openAt(`/console/books/entries/${later.journalEntryId}`);
    await page.getByText('There is no proof yet.').waitFor();
    const other = await openAt('/console/books', { role: 'employee' });
    await other.page.getByRole('alert').getByText('Reading this needs one of the roles').waitFor();
    expect([...faults, ...other.faults]).toEqual([]);
    await Promise.all([close(), other.close()]);
  });
});

describe('a batch', () => {
  test('tells what has become of its rows, and gives their results', async () => {
    const { page, faults, close } = await openAt('/console/batches');
    await page.getByRole('link', { name: 'file' }).click();
    await page.getByRole('row', { name: '3 written by this batch' }).waitFor();
    await page.getByText('Row 4').waitFor();
    await page.getByRole('link', { name: 'row-3' }).waitFor();
    const results = readFileSync(await savedBy(page, 'Download as NDJSON'), 'utf8')
      .trim()
      .split('\n');
    expect(results.map((line) => JSON.parse(line).outcome)).toEqual([
      'succeeded',
      'succeeded',
      'succeeded',
      'rejected',
    ]);
    expect(await page.getByRole('button', { name: 'Cancel' }).count()).toBe(0);
    expect(faults).toEqual([]);
    await close();
  });
});

describe('a write that waits for its approval', () => {
  test('is approved once, whatever is clicked or pressed, and its answer stays to be read', async () => {
    await waitingRefund('approve-me');
    const { page, faults, close } = await openAt('/console/approvals');
    // What is shown anew is shown for the decision, and not because it is time to ask again.
    await page.addInitScript('window.setInterval = () => 0');
    await page.reload();
    const sent = sentBy(page);
    await page.getByRole('link', { name: /^Approvals ?, 1 waiting for you$/ }).waitFor();
    await page.getByRole('button', { name: 'Approve' }).click();
    await page.getByText('With your approval it has all that it needs').waitFor();
    await page.getByRole('dialog').getByText('Amount asked for: 0.50 USD').waitFor();
    await page.getByLabel(/^Comment/).fill('<b>fine</b>');
    // While it is sent, the keyboard reaches what the style keeps from the mouse.
    const confirm = page.getByRole('button', { name: 'Approve it' });
    const pressAgain = async (route: Route) => {
      await confirm.press('Enter');
      await route.continue();
    };
    await page.route('**/approve', pressAgain, { times: 1 });
    await confirm.dblclick();
    await page.getByRole('dialog').getByText('It is done.').waitFor();
    await page.getByText('Nothing waits for you.').waitFor();
    await page.getByRole('link', { name: /^Approvals ?$/ }).waitFor();
    await page.getByRole('button', { name: 'Close' }).click();
    expect(sent).toEqual(['/api/writes/approve-me/approve']);
    await page.goto(`${system.url}/console/writes/approve-me`);
    await page.getByText('<b>fine</b>').first().waitFor();
    expect(faults).toEqual([]);
    await close();
  });

  test('is left as it is where the dialog is left, and rejected or cancelled by who may', async () => {
    await Promise.all([waitingRefund('reject-me'), waitingRefund('cancel-me')]);
    const { page, faults, close } = await openAt('/console/writes/reject-me');
    const sent = sentBy(page);
    await page.getByRole('button', { name: 'Reject' }).click();
    await page.getByRole('dialog').waitFor();
    await page.keyboard.press('Escape');
    await page.getByRole('dialog').waitFor({ state: 'detached' });
    expect(sent).toEqual([]);
    await page.getByRole('button', { name: 'Reject' }).click();
    await page.getByRole('button', { name: 'Reject it' }).click();
    await page.getByRole('dialog').getByText('Somebody refused to approve it: it never happens.').waitFor();
    // Who has asked may cancel, and not decide.
    const asker = await openAt('/console/writes/cancel-me', { role: 'accountant' });
    await asker.page.getByRole('button', { name: 'Cancel' }).click();
    expect(await asker.page.getByRole('button', { name: 'Approve' }).count()).toBe(0);
    await asker.page.getByRole('button', { name: 'Cancel it' }).click();
    await asker.page.getByRole('dialog').getByText('It never happens.').waitFor();
    expect([...faults, ...asker.faults]).toEqual([]);
    await Promise.all([close(), asker.close()]);
  });

  test('shows what it would change, where what is asked for names only that', async () => {
    const payment = await company.api.created('/api/payments', paymentBody(invoiceId, 4_200), { key: 'to-be-voided' });
    const asked = await company
      .as('accountant')
      .post(`/api/payments/${payment.id}/void`, { reason: 'twice' }, { key: 'void-it' });
    expect(asked.status, asked.text).toBe(202);
    const { page, faults, close } = await openAt('/console/approvals');
    const waiting = page.getByRole('article').filter({ hasText: 'void-it' });
    await waiting.getByText(`${payment.number}, 42.00 USD`).waitFor();
    await waiting.getByRole('button', { name: 'Approve' }).click();
    await page.getByRole('dialog').getByText(`${payment.number}, 42.00 USD`).waitFor();
    await page.getByRole('button', { name: 'Approve it' }).click();
    await page.getByRole('dialog').getByText('It is done.').waitFor();
    expect(faults).toEqual([]);
    await close();
  });

  test('shows what the API refuses, in full, and sends nothing again by itself', async () => {
    const { page, faults, close } = await openAt('/console/writes/sealed');
    expect(await page.getByRole('button', { name: 'Deliver the event again' }).count()).toBe(0);
    // A page of before the webhook was taken away.
    await page.route('**/api/company/settings', async (route) => {
      const answer = await route.fetch();
      const webhookUrl = 'https://hooks.example.com/';
      await route.fulfill({ response: answer, json: { ...(await answer.json()), webhookUrl } });
    });
    await page.reload();
    const sent = sentBy(page);
    await page.getByRole('button', { name: 'Deliver the event again' }).click();
    await page.getByRole('button', { name: 'Deliver it again' }).click();
    const alert = page.getByRole('dialog').getByRole('alert');
    await alert.getByText('The company has set no webhook.').waitFor();
    await alert.getByText('webhook_not_available').waitFor();
    await alert.getByText('Request ID').waitFor();
    expect(sent).toHaveLength(1);
    expect(faults).toEqual([]);
    await close();
  });
});

test('another request under a key shows where it differs, and nothing of what was in it', async () => {
  const body = { ...paymentBody(invoiceId, 10), reference: 'first', metadata: { note: 'a' } };
  await company.api.created('/api/payments', body, { key: 'twin' });
  await company.api.post('/api/payments', { ...body, reference: 'second', metadata: { hidden: 'b' } }, { key: 'twin' });
  const { page, faults, close } = await openAt('/console/writes/twin');
  await page.getByText('It differs in:').waitFor();
  const told = await page.getByRole('listitem').filter({ hasText: 'It differs in:' }).innerText();
  expect(told).toMatch(/body \/metadata\s+body \/reference/);
  expect(await page.getByText('second').count()).toBe(0);
  expect(await page.getByText('hidden').count()).toBe(0);
  expect(faults).toEqual([]);
  await close();
});

test.each(Object.keys(LOOKS) as Look[])(
  'no page has a violation of WCAG AA, or is wider than the window: %s',
  async (look) => {
    const key = `seen-${look}`;
    await waitingRefund(key);
    const { page, close } = await openAt('/console/', { look });
    const found: string[] = [];
    for (const [path, text] of [
      ['/console/books', '1000 Bank'],
      ['/console/books/receivables', 'Over 90 days'],
      ['/console/books/profit-and-loss', 'Income, total'],
      ['/console/books/balance-sheet', 'Assets, total'],
      ['/console/books/accounts/1000', 'Debit'],
      ['/console/books/accounts/9999', 'There is no account 9999.'],
      [`/console/books/entries/${entryId}`, 'as it was sealed'],
      ['/console/batches', 'of 4 rows'],
      ['/console/batches/file', 'written by this batch'],
      ['/console/approvals', key],
      [`/console/writes/${key}`, 'Nothing is booked until it is approved.'],
    ] as const) {
      await page.goto(`${system.url}${path}`);
      await page.getByText(text).first().waitFor();
      found.push(...(await flawsOf(page)).map((flaw) => `${path} ${flaw}`));
    }
    await page.getByRole('button', { name: 'Reject' }).click();
    // axe asks for no name of a <dialog>.
    await page.getByRole('dialog', { name: 'Reject this write?' }).waitFor();
    found.push(...(await flawsOf(page)).map((flaw) => `the dialog: ${flaw}`));
    expect(found).toEqual([]);
    await close();
    const rejected = await company.as('admin').send('POST', `/api/writes/${key}/reject`);
    expect(rejected.status).toBe(200);
  },
);
