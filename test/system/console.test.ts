import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type BuiltFile, buildConsole } from '../../deploy/console/build-console.ts';
import { openThrowawayFolder, type ThrowawayFolder } from '../../deploy/local/throwaway-folder.ts';
import { flawsOf, LOOKS, type Look, launchBrowser, openPage, type WatchedPage } from '../support/browser.ts';
import type { Company } from '../support/companies.ts';
import { type System, startSystem } from '../support/system.ts';
import { signToken } from '../support/tokens.ts';
import { isInstalled, skipWithout } from '../support/tools.ts';

let folder: ThrowawayFolder;
let built: readonly BuiltFile[];
let system: System;
let company: Company;
let browser: Browser | undefined;
let invoiceId: string;

beforeAll(async () => {
  folder = openThrowawayFolder();
  built = await buildConsole(folder.path);
  system = await startSystem({ environment: { CONSOLE_FOLDER: folder.path } });
  company = await system.company('Console Ltd');
  invoiceId = await company.invoice();
  if (isInstalled('chromium')) browser = await launchBrowser();
});
beforeEach((context) => skipWithout('chromium', context));
afterAll(async () => {
  await browser?.close();
  await system?.stop();
  folder?.remove();
});

const payment = (amount: number, more: object = {}) => ({
  ...{ invoiceId, amount, currency: 'USD', method: 'bank_transfer', receivedOn: '2026-02-01' },
  ...more,
});

/** Opens the console as the owner, by a link as `npm start` prints it. */
async function signedIn(look: Look = 'light', token = company.users.owner.token): Promise<WatchedPage> {
  const watched = await openPage(browser, system.url, look);
  await watched.page.goto(`${system.url}/console/#token=${token}`);
  await watched.page.getByRole('heading', { level: 1, name: 'Find a write' }).waitFor();
  return watched;
}

/** Asks for a day, an amount, or both; what is not given stays as it is in its field. */
async function findByDay(page: Page, { day, amount }: { readonly day?: string; readonly amount?: string }) {
  if (day !== undefined) await page.getByLabel('Day of its entry').fill(day);
  if (amount !== undefined) await page.getByLabel('Amount (USD)').fill(amount);
  await page.getByRole('button', { name: 'Find by day' }).click();
}

/** What the fields of the questions hold. */
async function fieldsOf(page: Page): Promise<readonly string[]> {
  const fields = await page.locator('search input').all();
  return Promise.all(fields.map((field) => field.inputValue()));
}

async function bottomOf(page: Page, name: string): Promise<number> {
  const box = await page.locator(name).boundingBox();
  return (box?.y ?? 0) + (box?.height ?? 0);
}

describe('the console', () => {
  test('is no more than 200 KB for a browser, and needs nothing from elsewhere', async () => {
    const { page, faults, close } = await signedIn();
    const bytes = built.reduce((sum, { compressedBytes }) => sum + compressedBytes, 0);
    expect(bytes).toBeLessThan(200_000);
    const { headers } = await fetch(`${system.url}/console/`);
    expect(headers.get('content-security-policy')).toContain("default-src 'none'; script-src 'self'; style-src 'self'");
    expect(await page.title()).toBe('Find a write – AccuBooks console');
    expect(headers.get('cache-control')).toBe('no-cache');
    expect((await fetch(`${system.url}/console/assets/main-OLD.js`)).status).toBe(404);
    expect(faults).toEqual([]);
    await close();
  });

  test('signs in by a link, whose token is in the address no longer, and out', async () => {
    const { page, faults, close } = await signedIn();
    expect(page.url()).toBe(`${system.url}/console/`);
    await page.getByText('Console Ltd').waitFor();
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.getByRole('heading', { name: 'AccuBooks console' }).waitFor();
    await page.reload();
    await page.getByLabel('Token').waitFor();
    expect(faults).toEqual([]);
    await close();
  });

  test('says what is wrong with a token', async () => {
    const { page, close } = await openPage(browser, system.url);
    await page.goto(`${system.url}/console/`);
    await page.getByLabel('Token').fill('no token');
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByText('This is no token').waitFor();
    const expired = await signToken({ userId: company.users.owner.id, companyId: company.id }, { ttlSeconds: -60 });
    await page.getByLabel('Token').fill(expired);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByText('This token has expired').waitFor();
    expect(await page.getByRole('navigation').count()).toBe(0);
    await close();
  });

  test('shows a payment, its repetition, and another request under its key, in one timeline', async () => {
    const key = 'console-payment';
    await company.api.post('/api/payments', payment(2_500), { key });
    await company.api.post('/api/payments', payment(2_500), { key });
    await company.api.post('/api/payments', payment(2_600), { key });
    const { page, faults, close } = await signedIn();
    await page.getByRole('searchbox').fill(key);
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { level: 1, name: key }).waitFor();
    await page.getByText('It is done.').waitFor();
    const timeline = page.getByRole('listitem');
    await expect.poll(() => timeline.filter({ hasText: 'The same request again: answered' }).count()).toBe(1);
    await expect.poll(() => timeline.filter({ hasText: 'Another request with its key: refused' }).count()).toBe(1);
    expect(faults).toEqual([]);
    await close();
  });

  test('says that nothing is found, and that the same key is safe only of a key that is not there', async () => {
    const { page, faults, close } = await signedIn();
    const safe = page.getByText('it is safe to send it again with the same key');
    await page.getByRole('searchbox').fill('nobody/has used?this#key');
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { name: '0 found' }).waitFor();
    await safe.waitFor();
    await findByDay(page, { day: '2026-03-04', amount: '12.34' });
    await page.getByRole('heading', { name: '0 found' }).waitFor();
    await page.getByText('has posted an entry with a line of 12.34 USD on 2026-03-04').waitFor();
    await page.getByText('What runs or waits for its approval is found by its key alone').waitFor();
    expect(await safe.count()).toBe(0);
    await page.getByRole('searchbox').fill('schlüssel');
    await page.keyboard.press('Enter');
    await page.getByText('No write can have this as its key').waitFor();
    expect(await safe.count()).toBe(0);
    // What is not known is not said, either: as if Temporal, which alone knows of a running write, were away.
    const problem = { status: 503, json: { title: 'Away', detail: 'Nobody knows.', code: 'orchestrator_unavailable' } };
    await page.route('**/api/writes/not-known', (route) => route.fulfill(problem));
    await page.getByRole('searchbox').fill('not-known');
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { name: 'Could not look' }).waitFor();
    await page.getByRole('alert').getByText('Nobody knows.').waitFor();
    expect(await page.getByText(/No write|safe to send/).count()).toBe(0);
    await page.goto(`${system.url}/console/writes/unknown`);
    await page.getByRole('alert').getByText('There is no write with this key.').waitFor();
    expect(faults).toEqual([]);
    await close();
  });

  test('finds a payment by its ID, by the ID of a request, and by the day and amount of its entry', async () => {
    const request = { 'x-request-id': 'request-to-be-found' };
    const made = await company.api.post('/api/payments', payment(1_234, { receivedOn: '2026-03-03' }), {
      key: 'sought',
      headers: request,
    });
    const { page, faults, close } = await signedIn();
    for (const known of [made.json.id, 'sought', 'request-to-be-found']) {
      await page.goto(`${system.url}/console/`);
      await page.getByRole('searchbox').fill(known);
      await page.getByRole('button', { name: 'Find', exact: true }).click();
      // A request may have been a repetition or refused: its ID does not lead to a write as if it had made it.
      if (known.startsWith('request-')) {
        await page.getByText('This is the ID of the request that asked for such a write first.').waitFor();
        await page.getByRole('link', { name: 'sought' }).click();
      }
      await page.getByRole('heading', { level: 1, name: 'sought' }).waitFor();
    }
    await page.goto(`${system.url}/console/`);
    await findByDay(page, { day: '2026-03-03', amount: '12.34' });
    await page.getByRole('heading', { name: '1 found' }).waitFor();
    const found = page.getByRole('row').filter({ has: page.getByRole('link', { name: 'sought' }) });
    expect(await found.getByRole('cell').allTextContents()).toEqual([
      ...['succeeded', '12.34 USD', made.json.number, 'createPayment', expect.stringMatching(/UTC$/)],
    ]);
    await findByDay(page, { amount: '12.35' });
    await page.getByRole('heading', { name: '0 found' }).waitFor();
    // Both questions in one address: the key's is asked, and seen to be.
    await page.goto(`${system.url}/console/?q=nothing&day=2026-03-03&amount=12.34`);
    await page.getByRole('heading', { name: '0 found' }).waitFor();
    expect(await fieldsOf(page)).toEqual(['nothing', '', '']);
    await page.goto(`${system.url}/console/writes/sought`);
    await page.getByText(`createPayment 12.34 USD · ${made.json.number}`).waitFor();
    expect(faults).toEqual([]);
    await close();
  });

  test('refuses what cannot be asked at its field, and shows no other list in its place', async () => {
    const { page, faults, close } = await signedIn();
    await page.getByRole('heading', { name: 'The newest writes' }).waitFor();
    for (const [asked, label, why] of [
      [{ amount: '25' }, 'Day of its entry', 'An amount is looked for on a day: give the day, too.'],
      [{ day: '2026-03-03', amount: '25,00' }, 'Amount (USD)', '25,00 is no amount in USD, such as 25.00.'],
    ] as const) {
      await findByDay(page, asked);
      await page.getByRole('alert').getByText(why).waitFor();
      const field = page.getByLabel(label);
      expect(await field.getAttribute('aria-invalid')).toBe('true');
      expect(await page.locator(`#${await field.getAttribute('aria-describedby')}`).textContent()).toBe(why);
      expect(await field.and(page.locator(':focus')).count()).toBe(1);
      expect(await page.getByRole('table').count()).toBe(0);
      expect(await flawsOf(page)).toEqual([]);
    }
    expect(faults).toEqual([]);
    await close();
  });

  test('begins anew where somebody goes to it again, and with each question', async () => {
    const { page, faults, close } = await signedIn();
    const again = () => page.getByRole('link', { name: 'Find a write' }).click();
    await findByDay(page, { day: '2026-03-04', amount: '12.34' });
    await page.getByRole('heading', { name: '0 found' }).waitFor();
    await again();
    await page.getByRole('heading', { name: 'The newest writes' }).waitFor();
    expect(await fieldsOf(page)).toEqual(['', '', '']);
    await page.getByLabel('Amount (USD)').fill('99.99');
    await again();
    expect(await fieldsOf(page)).toEqual(['', '', '']);
    await page.getByLabel('Amount (USD)').fill('99.99');
    await page.getByRole('searchbox').fill('nothing');
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { name: '0 found' }).waitFor();
    expect(await fieldsOf(page)).toEqual(['nothing', '', '']);
    expect(await page.getByRole('searchbox').and(page.locator(':focus')).count()).toBe(1);
    await page.goBack();
    await page.getByRole('heading', { name: 'The newest writes' }).waitFor();
    expect(await fieldsOf(page)).toEqual(['', '', '']);
    expect(faults).toEqual([]);
    await close();
  });

  test('says that it shows the first of what is found, and shows the rest', async () => {
    for (let made = 0; made < 51; made += 1) {
      await company.api.created('/api/payments', payment(1, { receivedOn: '2026-04-04' }));
    }
    const { page, faults, close } = await signedIn();
    const rows = page.locator('tbody tr');
    const columns = async () => {
      const boxes = (await page.getByRole('columnheader').all()).map((header) => header.boundingBox());
      return (await Promise.all(boxes)).map((box) => box?.x);
    };
    const more = page.getByRole('button', { name: 'Show more' });
    await expect.poll(() => rows.count()).toBe(20);
    expect(await bottomOf(page, '.of-day button')).toBeCloseTo(await bottomOf(page, '[name=amount]'), 0);
    const ofNewest = await columns();
    expect(new Set(ofNewest).size).toBe(6);
    await more.click();
    await expect.poll(() => rows.count()).toBe(40);
    await findByDay(page, { day: '2026-04-04', amount: '0.01' });
    await page.getByRole('heading', { name: 'The first 50' }).waitFor();
    expect(await columns()).toEqual(ofNewest);
    await more.click();
    await page.getByRole('heading', { name: '51 found' }).waitFor();
    await expect.poll(() => rows.count()).toBe(51);
    expect(await more.count()).toBe(0);
    // Columns stay where they are, however short or long what is in them is.
    await findByDay(page, { day: '2026-03-03', amount: '12.34' });
    await page.getByRole('heading', { name: '1 found' }).waitFor();
    expect(await columns()).toEqual(ofNewest);
    expect(faults).toEqual([]);
    await close();
  });

  test.each(Object.keys(LOOKS) as Look[])(
    'shows the state and the amount of what is found beside its key, and the button beside its field: %s',
    async (look) => {
      const { page, close } = await signedIn(look);
      await page.locator('tbody tr').first().waitFor();
      const row = page.locator('tbody tr').first();
      for (const cell of [row.locator('th'), row.locator('td').nth(0), row.locator('td').nth(1)]) {
        const box = await cell.boundingBox();
        expect((box?.x ?? 0) + (box?.width ?? 9_999)).toBeLessThanOrEqual(LOOKS[look].viewport.width);
      }
      expect(await bottomOf(page, 'form:has([name=q]) button')).toBeCloseTo(await bottomOf(page, '[name=q]'), 0);
      await close();
    },
  );

  test('shows whatever people have typed as text', async () => {
    const key = '<img/src=x/onerror=alert(1)>';
    const script = '</pre><script>alert(2)</script><img src=x onerror=alert(3)>';
    const sent = await company.api.post('/api/payments', payment(100, { reference: script }), { key });
    expect(sent.status, sent.text).toBe(201);
    const { page, faults, close } = await signedIn();
    await page.getByRole('searchbox').fill(key);
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { level: 1, name: key }).waitFor();
    // In the request and in the answer.
    await expect.poll(() => page.getByText(script).count()).toBe(2);
    expect(await page.locator('img, script[src=""], script:not([src])').count()).toBe(0);
    expect(faults).toEqual([]);
    await close();
  });

  test.each(Object.keys(LOOKS) as Look[])(
    'has no violation of WCAG AA, and nothing wider than the window: %s',
    async (look) => {
      const { page, close } = await openPage(browser, system.url, look);
      await page.goto(`${system.url}/console/`);
      await page.getByLabel('Token').waitFor();
      const found = [...(await flawsOf(page))];
      await page.goto(`${system.url}/console/#token=${company.users.owner.token}`);
      await page.getByRole('heading', { level: 1, name: 'Find a write' }).waitFor();
      for (const [path, text] of [
        ['/console/', 'The newest writes'],
        ['/console/?q=nothing', '0 found'],
        ['/console/?day=2026-03-03&amount=12.34', '1 found'],
        ['/console/?day=2026-03-04&amount=12.34', '0 found'],
        ['/console/?amount=12.34', 'give the day, too'],
        ['/console/writes/console-payment', 'It is done.'],
        ['/console/writes/unknown', 'There is no write with this key'],
        ['/console/nowhere', 'There is no such page'],
      ] as const) {
        await page.goto(`${system.url}${path}`);
        await page.getByText(text).first().waitFor();
        found.push(...(await flawsOf(page)).map((flaw) => `${path} ${flaw}`));
      }
      expect(found).toEqual([]);
      await close();
    },
  );
});
