import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { buildConsole } from '../../deploy/console/build-console.ts';
import { openThrowawayFolder, type ThrowawayFolder } from '../../deploy/local/throwaway-folder.ts';
import { launchBrowser, openPage, type WatchedPage } from '../support/browser.ts';
import type { Company } from '../support/companies.ts';
import { type System, startSystem } from '../support/system.ts';
import { signToken } from '../support/tokens.ts';
import { isInstalled, skipWithout } from '../support/tools.ts';

/** Whose token a page acts with, when somebody else signs in in the same tab, or the token is taken no more. */

let folder: ThrowawayFolder;
let system: System;
let first: Company;
let second: Company;
let browser: Browser | undefined;

beforeAll(async () => {
  folder = openThrowawayFolder();
  await buildConsole(folder.path);
  system = await startSystem({ environment: { CONSOLE_FOLDER: folder.path } });
  [first, second] = [await system.company('First Ltd'), await system.company('Second Ltd')];
  if (isInstalled('chromium')) browser = await launchBrowser();
});
beforeEach((context) => skipWithout('chromium', context));
afterAll(async () => {
  await browser?.close();
  await system?.stop();
  folder?.remove();
});

const linkOf = (token: string) => `${system.url}/console/#token=${token}`;

/** Opens the console as the owner of the first company. */
async function openAsFirst(token = first.users.owner.token): Promise<WatchedPage> {
  const watched = await openPage(browser, system.url);
  await watched.page.goto(linkOf(token));
  await watched.page.getByText('First Ltd').waitFor();
  return watched;
}

const SECOND_IN_STORE = (token: string) => `sessionStorage.setItem('accubooks-console-token', '${token}')`;

test('a link of somebody else asks first, and then is another page from head to foot', async () => {
  const { page, faults, close } = await openAsFirst();
  await page.goto(linkOf(second.users.owner.token));
  await page.getByText('signs you in otherwise than you are now').waitFor();
  await page.getByRole('button', { name: 'Go on without it' }).click();
  await page.getByText('First Ltd').waitFor();
  expect(page.url()).toBe(`${system.url}/console/`);
  await page.goto(linkOf(second.users.owner.token));
  await page.getByRole('button', { name: 'Sign in by the link' }).click();
  await page.getByText('Second Ltd').waitFor();
  expect(await page.getByText('First Ltd').count()).toBe(0);
  expect(page.url()).toBe(`${system.url}/console/`);
  expect(faults).toEqual([]);
  await close();
});

test('a link that has expired says so, and leaves whoever has signed in as they are', async () => {
  const { page, close } = await openAsFirst();
  const claims = { userId: second.users.owner.id, companyId: second.id };
  await page.goto(linkOf(await signToken(claims, { ttlSeconds: -60 })));
  await page.getByRole('alert').getByText('This token has expired').waitFor();
  expect(await page.getByRole('button', { name: 'Sign in by the link' }).count()).toBe(0);
  await page.getByRole('button', { name: 'Go on without it' }).click();
  await page.getByText('First Ltd').waitFor();
  await close();
});

test('a page asks with the token that it was loaded with, whoever has signed in since', async () => {
  const { page, close } = await openAsFirst();
  await page.getByRole('link', { name: 'Books' }).waitFor();
  await page.evaluate(SECOND_IN_STORE(second.users.owner.token));
  const asked = page.waitForRequest('**/api/ledger/trial-balance**');
  await page.getByRole('link', { name: 'Books' }).click();
  expect((await asked).headers()['authorization']).toBe(`Bearer ${first.users.owner.token}`);
  await close();
});

test('a page that is left is empty and has no token, for whoever comes back to it', async () => {
  const { page, close } = await openAsFirst();
  const asked: string[] = [];
  await page.evaluate(SECOND_IN_STORE(second.users.owner.token));
  page.on('request', (request) => asked.push(request.headers()['authorization'] ?? ''));
  // As the browser keeps it, and as it shows it again when the reload is stopped.
  await page.evaluate("dispatchEvent(new PageTransitionEvent('pagehide', { persisted: true }))");
  expect(await page.locator('body').innerText()).toBe('');
  await page.evaluate("dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))");
  await page.getByText('Second Ltd').waitFor();
  expect(await page.getByText('First Ltd').count()).toBe(0);
  expect(asked).not.toContain(`Bearer ${first.users.owner.token}`);
  await close();
});

test('when the token expires, nothing stays to be read, and whoever signs in again is back on the page', async () => {
  const { page, close } = await openPage(browser, system.url);
  await page.clock.install();
  await page.goto(linkOf(first.users.owner.token));
  await page.getByRole('link', { name: 'Books' }).click();
  await page.getByRole('heading', { level: 1, name: 'Trial balance' }).waitFor();
  await page.clock.fastForward('02:00:00');
  await page.getByRole('alert').getByText('Your sign-in as a member has expired.').waitFor();
  expect(await page.getByRole('heading', { name: 'Trial balance' }).count()).toBe(0);
  await page.clock.setSystemTime(new Date());
  await page.getByLabel('Token').fill(first.users.owner.token);
  await page.getByRole('button', { name: 'Sign in with this token' }).click();
  await page.getByRole('heading', { level: 1, name: 'Trial balance' }).waitFor();
  await close();
});

test('a token that the API does not take signs out, and says why', async () => {
  const { page, close } = await openPage(browser, system.url);
  const claims = { userId: first.users.owner.id, companyId: first.id };
  await page.goto(linkOf(await signToken(claims, { secret: 'the-secret-of-somebody-else-altogether-here' })));
  await page.getByRole('alert').getByText('The API does not take your token as a member:').waitFor();
  await page.getByLabel('Token').waitFor();
  expect(await page.getByRole('navigation').count()).toBe(0);
  await close();
});

test('a page of which a part is missing says so, and the others go on', async () => {
  const { page, close } = await openAsFirst();
  // As for an operator whose page is of the release before.
  const operator = await signToken(
    { userId: first.users.owner.id, companyId: '' },
    { claims: { company_id: undefined } },
  );
  await page.evaluate(`sessionStorage.setItem('accubooks-console-operator-token', '${operator}')`);
  await page.route('**/assets/now-*.js', (route) => route.abort());
  await page.reload();
  await page.getByRole('link', { name: 'Now' }).click();
  await page.getByRole('alert').getByText('This page cannot be shown.').waitFor();
  expect(page.url()).toBe(`${system.url}/console/now`);
  await page.getByRole('link', { name: 'Books' }).click();
  await page.getByRole('heading', { level: 1, name: 'Trial balance' }).waitFor();
  await close();
});
