import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type BuiltFile, buildConsole } from '../../deploy/console/build-console.ts';
import { openThrowawayFolder, type ThrowawayFolder } from '../../deploy/local/throwaway-folder.ts';
import {
  LOOKS,
  type Look,
  launchBrowser,
  openPage,
  overflowOf,
  violationsOf,
  type WatchedPage,
} from '../support/browser.ts';
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

describe('the console', () => {
  test('is no more than 200 KB for a browser, and needs nothing from elsewhere', async () => {
    const { page, faults, close } = await signedIn();
    const bytes = built.reduce((sum, { compressedBytes }) => sum + compressedBytes, 0);
    expect(bytes).toBeLessThan(200_000);
    const { headers } = await fetch(`${system.url}/console/`);
    expect(headers.get('content-security-policy')).toContain("default-src 'none'; script-src 'self'; style-src 'self'");
    expect(await page.title()).toBe('Find a write – AccuBooks console');
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
    await page.getByText('Done: it is in the books.').waitFor();
    const timeline = page.getByRole('listitem');
    await expect
      .poll(() => timeline.filter({ hasText: 'Sent again: answered with the stored answer' }).count())
      .toBe(1);
    await expect.poll(() => timeline.filter({ hasText: 'Sent again with another content: refused' }).count()).toBe(1);
    expect(faults).toEqual([]);
    await close();
  });

  test('says that nothing is found, and what to do then', async () => {
    const { page, faults, close } = await signedIn();
    await page.getByRole('searchbox').fill('nobody/has used?this#key');
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { name: '0 found' }).waitFor();
    await page.getByText('it is safe to send it again with the same key').waitFor();
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
    for (const known of [made.json.id, 'request-to-be-found', 'sought']) {
      await page.goto(`${system.url}/console/`);
      await page.getByRole('searchbox').fill(known);
      await page.getByRole('button', { name: 'Find' }).click();
      await page.getByRole('heading', { level: 1, name: 'sought' }).waitFor();
    }
    await page.goto(`${system.url}/console/`);
    await page.getByLabel('Day of its entry').fill('2026-03-03');
    await page.getByLabel('Amount (USD)').fill('12.34');
    await page.getByRole('button', { name: 'Find' }).click();
    await page.getByRole('heading', { name: '1 found' }).waitFor();
    await page.getByRole('link', { name: 'sought' }).waitFor();
    await page.getByLabel('Amount (USD)').fill('12.35');
    await page.getByRole('button', { name: 'Find' }).click();
    await page.getByRole('heading', { name: '0 found' }).waitFor();
    expect(faults).toEqual([]);
    await close();
  });

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
      const found = [...(await violationsOf(page))];
      await page.goto(`${system.url}/console/#token=${company.users.owner.token}`);
      await page.getByRole('heading', { level: 1, name: 'Find a write' }).waitFor();
      for (const [path, text] of [
        ['/console/', 'The newest writes'],
        ['/console/writes/console-payment', 'Done: it is in the books.'],
        ['/console/writes/unknown', 'There is no write with this key'],
        ['/console/nowhere', 'There is no such page'],
      ] as const) {
        await page.goto(`${system.url}${path}`);
        await page.getByText(text).first().waitFor();
        found.push(...(await violationsOf(page)).map((violation) => `${path} ${violation}`));
        const overflow = await overflowOf(page);
        if (overflow > 0) found.push(`${path} is ${overflow} px wider than the window`);
      }
      expect(found).toEqual([]);
      await close();
    },
  );
});
