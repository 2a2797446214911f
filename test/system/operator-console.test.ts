import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { buildConsole } from '../../deploy/console/build-console.ts';
import { openThrowawayFolder, type ThrowawayFolder } from '../../deploy/local/throwaway-folder.ts';
import { flawsOf, LOOKS, type Look, launchBrowser, openPage, type WatchedPage } from '../support/browser.ts';
import type { Company } from '../support/companies.ts';
import { executedPayRun } from '../support/payroll.ts';
import { type System, startSystem } from '../support/system.ts';
import { signToken } from '../support/tokens.ts';
import { isInstalled, skipWithout } from '../support/tools.ts';

const OPERATOR_AUDIENCE = 'accubooks-operators';
const KEY = 'seen by an operator';

let folder: ThrowawayFolder;
let system: System;
let company: Company;
let browser: Browser | undefined;
let operator: string;

beforeAll(async () => {
  folder = openThrowawayFolder();
  await buildConsole(folder.path);
  system = await startSystem({ environment: { CONSOLE_FOLDER: folder.path, OPERATOR_AUDIENCE } });
  company = await system.company('Operated Ltd');
  await company.api.post('/api/customers', { name: 'Zaphod', currency: 'USD' }, { key: `"${KEY}"` });
  operator = await signToken(
    { userId: 'ada', companyId: '' },
    { claims: { aud: OPERATOR_AUDIENCE, company_id: undefined } },
  );
  if (isInstalled('chromium')) browser = await launchBrowser();
});
beforeEach((context) => skipWithout('chromium', context));
afterAll(async () => {
  await browser?.close();
  await system?.stop();
  folder?.remove();
});

/** Opens the console by a link as `npm start` prints it, with these tokens. */
async function signedIn(
  tokens: Readonly<Record<string, string>>,
  { look = 'light', url = system.url }: { look?: Look; url?: string } = {},
): Promise<WatchedPage> {
  const watched = await openPage(browser, url, look);
  await watched.page.goto(`${url}/console/#${new URLSearchParams(tokens).toString()}`);
  await watched.page.getByRole('navigation', { name: 'Console' }).waitFor();
  return watched;
}

const placesOf = ({ page }: WatchedPage) =>
  page.getByRole('navigation', { name: 'Console' }).getByRole('link').allTextContents();

describe('the console', () => {
  const OF_MEMBERS = ['Find a write', 'Books', 'Batches', 'Approvals'];

  test('shows each who has signed in the places that they may see', async () => {
    const { token } = company.users.owner;
    for (const [tokens, places] of [
      [{ token }, OF_MEMBERS],
      [{ operator }, ['Now', 'All companies']],
      [{ token, operator }, [...OF_MEMBERS, 'Now', 'All companies']],
    ] as const) {
      const watched = await signedIn(tokens);
      expect(await placesOf(watched)).toEqual(places);
      expect(watched.page.url()).not.toContain('eyJ');
      expect(watched.faults).toEqual([]);
      await watched.close();
    }
  });

  test('takes either token at its page, and finds out whose it is', async () => {
    const watched = await openPage(browser, system.url);
    const { page, close } = watched;
    await page.goto(`${system.url}/console/`);
    await page.getByLabel('Token').fill(`${operator} ${company.users.owner.token}`);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByRole('heading', { level: 1, name: 'Find a write' }).waitFor();
    expect(await placesOf(watched)).toEqual([...OF_MEMBERS, 'Now', 'All companies']);
    await close();
  });

  test('shows operators how the system is, live, and the same as tables', async () => {
    const { page, faults, close } = await signedIn({ operator });
    await page.getByRole('link', { name: 'Now' }).click();
    await page.getByRole('status').getByText('Live').waitFor();
    await page.getByText('Alerts are not evaluated').first().waitFor();
    const succeeded = page.locator('.tiles div', { hasText: 'Succeeded' }).locator('dd').first();
    await expect.poll(() => succeeded.textContent(), { timeout: 60_000 }).toMatch(/^[\d.]+\/s$/);
    await page.getByText('Writes per second, as a table').click();
    const table = page.getByRole('region', { name: 'Writes per second' });
    await expect.poll(() => table.getByRole('row').count()).toBe(121);
    expect(await table.getByRole('columnheader').allTextContents()).toEqual([
      ...['Until (UTC)', 'succeeded', 'rejected', 'conflicted', 'cancelled', 'failed', 'unavailable'],
    ]);
    expect(await page.locator('canvas').count()).toBe(4);
    expect(faults).toEqual([]);
    await close();
  });

  test('says since when it is blind, and sees again by itself', async () => {
    const leaving = await system.another({ environment: { CONSOLE_FOLDER: folder.path, OPERATOR_AUDIENCE } });
    const { page, close } = await signedIn({ operator }, { url: leaving.url });
    const status = page.getByRole('status');
    await status.getByText('Live').waitFor();
    // As if another process took over where this one was.
    await page.route('**/operator/live', (route) => route.abort());
    leaving.drain();
    await status.getByText(/^Blind since \d{4}-\d\d-\d\d .* UTC/).waitFor();
    await page.unroute('**/operator/live');
    await page.route('**/operator/live', (route) => route.continue({ url: `${system.url}/operator/live` }));
    await status.getByText('Live').waitFor();
    expect(await status.getByText(/^Blind/).count()).toBe(0);
    await close();
  });

  test('keeps no connection for a tab that nobody looks at', async () => {
    const { page, close } = await signedIn({ operator });
    await page.getByRole('status').getByText('Live').waitFor();
    const look = (visibility: string) =>
      page.evaluate(
        `Object.defineProperty(document, 'visibilityState', { value: '${visibility}', configurable: true });
         document.dispatchEvent(new Event('visibilitychange'));`,
      );
    const left = page.waitForEvent('requestfailed', (request) => request.url().endsWith('/operator/live'));
    await look('hidden');
    await left;
    const begun = page.waitForRequest('**/operator/live');
    await look('visible');
    expect((await begun).failure()).toBe(null);
    await close();
  });

  test('shows operators what became of any write, without what somebody is paid', async () => {
    await executedPayRun(company);
    const { page, faults, close } = await signedIn({ operator });
    await page.getByRole('link', { name: 'All companies' }).click();
    await page.getByLabel('A part of its name').fill('operated');
    await page.keyboard.press('Enter');
    await page.getByRole('link', { name: 'Operated Ltd' }).click();
    await page.getByRole('heading', { level: 1, name: 'Writes of Operated Ltd' }).waitFor();
    await page.getByLabel('Key', { exact: true }).fill(KEY);
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { level: 1, name: KEY }).waitFor();
    await page.getByText('It is done.').waitFor();
    await page.getByText('Zaphod').first().waitFor();
    await page.goto(`${system.url}/console/companies/${company.id}`);
    await page.getByLabel('ID of a write, a resource or a request').fill('nothing');
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { name: '0 found' }).waitFor();
    await page.getByText('One that has not is found by its key.').waitFor();
    const paid = await fetch(`${system.url}/operator/companies/${company.id}/writes?operation=executePayroll`, {
      headers: { authorization: `Bearer ${operator}` },
    });
    const { items } = (await paid.json()) as { items: { key: string; document: unknown }[] };
    expect(items[0]?.document).toBeNull();
    await page.goto(`${system.url}/console/companies/${company.id}`);
    await page.getByRole('row').filter({ hasText: 'executePayroll' }).waitFor();
    expect(await page.getByRole('table').textContent()).not.toMatch(/\d\.\d\d USD/);
    await page.goto(`${system.url}/console/companies/${company.id}/writes/${items[0]?.key}`);
    await page.getByText('It is done.').waitFor();
    await page.getByText('It is not for you to see.').first().waitFor();
    expect(await page.locator('main').textContent()).not.toContain('grossPay');
    expect(faults).toEqual([]);
    await close();
  });

  test.each(Object.keys(LOOKS) as Look[])(
    'has no violation of WCAG AA for operators, nothing wider than the window, and nothing that jumps: %s',
    async (look) => {
      const { page, close } = await signedIn({ operator }, { look });
      const found: string[] = [];
      for (const [path, text] of [
        ['/console/now', 'Live'],
        ['/console/companies', 'Operated Ltd'],
        [`/console/companies/${company.id}`, 'createCustomer'],
        [`/console/companies/${company.id}/writes/${encodeURIComponent(KEY)}`, 'It is done.'],
      ] as const) {
        await page.goto(`${system.url}${path}`);
        await page.getByText(text).first().waitFor();
        // What comes later changes no place: another snapshot, or two.
        if (path === '/console/now') await page.waitForTimeout(3_000);
        found.push(...(await flawsOf(page)).map((flaw) => `${path} ${flaw}`));
      }
      expect(found).toEqual([]);
      await close();
    },
  );
});
