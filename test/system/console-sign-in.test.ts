import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, beforeEach, expect, test, vi } from 'vitest';
import { buildConsole } from '../../deploy/console/build-console.ts';
import { openThrowawayFolder, type ThrowawayFolder } from '../../deploy/local/throwaway-folder.ts';
import { launchBrowser } from '../support/browser.ts';
import type { Company } from '../support/companies.ts';
import { until } from '../support/held-invoice.ts';
import { type IdentityProvider, ISSUER, startIdentityProvider } from '../support/identity-provider.ts';
import { type System, startSystem } from '../support/system.ts';
import { isInstalled, skipWithout } from '../support/tools.ts';

/** The identity provider's code flow with PKCE, with a provider that speaks the real protocol. */

const MEMBERS = 'https://accubooks.test/api';
const OPERATORS = 'https://accubooks.test/operators';
const JWKS_URL = `${ISSUER}/jwks`;

let folder: ThrowawayFolder;
let system: System;
let company: Company;
let provider: IdentityProvider | undefined;
let browser: Browser | undefined;
let url: string;

beforeAll(async () => {
  folder = openThrowawayFolder();
  await buildConsole(folder.path);
  system = await startSystem();
  company = await system.company('Provided Ltd');
  const real = globalThis.fetch;
  vi.stubGlobal('fetch', async (asked: string, init?: RequestInit) => {
    if (asked !== JWKS_URL) return real(asked, init);
    return provider === undefined ? new Response('', { status: 502 }) : Response.json(await provider.jwks());
  });
  ({ url } = await system.another({
    environment: {
      ...{ CONSOLE_FOLDER: folder.path, CONSOLE_OIDC_CLIENT_ID: 'accubooks-console', OPERATOR_AUDIENCE: OPERATORS },
      ...{ JWT_SECRET: '', JWT_JWKS_URL: JWKS_URL, JWT_ISSUER: ISSUER, JWT_AUDIENCE: MEMBERS },
    },
  }));
  provider = await startIdentityProvider({
    ...{ folder: folder.path, clientId: 'accubooks-console', redirectUri: `${url}/console/signed-in` },
    ...{ companyId: company.id, subject: company.users.owner.id, memberAudience: MEMBERS },
  });
  await until('its keys to be known', async () => (await real(`${url}/readyz`)).status === 200);
  if (!isInstalled('chromium')) return;
  browser = await launchBrowser([`--host-resolver-rules=MAP id.test:443 127.0.0.1:${provider.port}`]);
});
beforeEach((context) => skipWithout('chromium', context));
afterAll(async () => {
  vi.unstubAllGlobals();
  await browser?.close();
  await provider?.close();
  await system?.stop();
  folder?.remove();
});

async function open(path: string): Promise<Page> {
  if (browser === undefined) throw new Error('Bug! There is no browser');
  const page = await browser.newPage({ ignoreHTTPSErrors: true });
  await page.goto(`${url}${path}`);
  return page;
}

/** At the provider: any password will do, and then consent. */
async function signInAtProvider(page: Page): Promise<void> {
  await page.getByPlaceholder('Enter any login').fill('ada');
  await page.getByPlaceholder('and password').fill('any');
  await page.getByRole('button', { name: 'Sign-in' }).click();
  await page.getByRole('button', { name: 'Continue' }).click();
}

test('a member signs in at the provider, and is back on the page that they had asked for', async () => {
  const page = await open('/console/books');
  await page.getByRole('button', { name: 'Sign in', exact: true }).click();
  await signInAtProvider(page);
  await page.getByRole('heading', { level: 1, name: 'Trial balance' }).waitFor();
  await page.getByText('Provided Ltd').waitFor();
  expect(page.url()).toBe(`${url}/console/books`);
  await page.close();
});

test('an operator signs in for their own audience, and sees no company from within', async () => {
  const page = await open('/console/');
  await page.getByRole('button', { name: 'Sign in as operator' }).click();
  await signInAtProvider(page);
  await page.getByRole('link', { name: 'All companies' }).waitFor();
  expect(await page.getByRole('link', { name: 'Books' }).count()).toBe(0);
  await page.close();
});

test('who is a member and an operator signs in as the other where a page is for it, and stays what they were', async () => {
  const page = await open('/console/books');
  await page.getByRole('button', { name: 'Sign in', exact: true }).click();
  await signInAtProvider(page);
  await page.getByRole('heading', { level: 1, name: 'Trial balance' }).waitFor();
  await page.goto(`${url}/console/now`);
  await page.getByRole('heading', { level: 1, name: 'Sign in as an operator' }).waitFor();
  await page.getByRole('button', { name: 'Sign in as operator' }).click();
  await page.getByRole('button', { name: 'Continue' }).click();
  await page.getByRole('heading', { level: 1, name: 'Now' }).waitFor();
  await page.getByRole('link', { name: 'Books' }).click();
  await page.getByRole('heading', { level: 1, name: 'Trial balance' }).waitFor();
  expect(await page.getByRole('link', { name: 'All companies' }).count()).toBe(1);
  await page.close();
});

test('who comes back without having left, or with the state of another, is not signed in', async () => {
  const page = await open('/console/signed-in?code=stolen&state=of-another');
  await page.getByRole('alert').getByText('This tab has not begun to sign in').waitFor();
  await page.getByRole('button', { name: 'Sign in', exact: true }).click();
  await page.getByPlaceholder('Enter any login').waitFor();
  const asked: string[] = [];
  page.on('request', (request) => asked.push(`${request.method()} ${request.url()}`));
  // From the right provider: the state alone says that it is of another.
  await page.goto(`${url}/console/signed-in?code=stolen&state=of-another&iss=${encodeURIComponent(ISSUER)}`);
  await page.getByRole('alert').getByText('Signing in has failed').waitFor();
  expect(asked).toContain(`GET ${ISSUER}/.well-known/openid-configuration`);
  expect(asked).not.toContain(`POST ${ISSUER}/token`);
  expect(await page.evaluate<string | null>("sessionStorage.getItem('accubooks-console-token')")).toBe(null);
  await page.close();
});
