import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { buildConsole } from '../../deploy/console/build-console.ts';
import { openThrowawayFolder, type ThrowawayFolder } from '../../deploy/local/throwaway-folder.ts';
import { launchBrowser, openPage } from '../support/browser.ts';
import { startDemoSystem } from '../support/demo.ts';
import { type Document, examplesOf, fetchDocument, routesOf } from '../support/openapi.ts';
import { isInstalled, skipWithout } from '../support/tools.ts';

/** As markup it would be an image that does not load, whose script opens a dialog. */
const SCRIPT = '"><img src=x onerror=alert(1)>';

let folder: ThrowawayFolder;
let demo: Awaited<ReturnType<typeof startDemoSystem>>;
let url: string;
let browser: Browser | undefined;

beforeAll(async () => {
  folder = openThrowawayFolder();
  await buildConsole(folder.path);
  demo = await startDemoSystem();
  ({ url } = await demo.system.another({ environment: { CONSOLE_FOLDER: folder.path } }));
  if (isInstalled('chromium')) browser = await launchBrowser();
});
beforeEach((context) => skipWithout('chromium', context));
afterAll(async () => {
  await browser?.close();
  await demo?.system.stop();
  folder?.remove();
});

test('a script in any text field of any write is shown as text, on each page that has it', async () => {
  const document = await fetchDocument(url);
  const keys: string[] = [];
  const fields = new Set<string>();
  for (const { id, method, path, body } of examplesOf(document)) {
    const schema = schemaOf(document, id);
    const key = `text-${keys.length}`;
    const changed = withScript(schema, body, (pointer) => fields.add(`${id.split(':')[0]}${pointer}`));
    const answer = await demo.owner.post(path, changed, { method, key });
    // A rule may still refuse it: then that is what is shown.
    expect([id, answer.status < 500, answer.json.code !== 'validation_failed']).toEqual([id, true, true]);
    keys.push(key);
  }
  expect(fields.size).toBeGreaterThan(30);

  const { page, faults, close } = await openPage(browser, url);
  await page.goto(`${url}/console/#token=${demo.token}`);
  await page.getByRole('heading', { level: 1, name: 'Find a write' }).waitFor();
  let shown = 0;
  const look = async (path: string) => {
    await page.goto(`${url}${path}`);
    await page.getByRole('heading', { level: 1 }).waitFor();
    await page.waitForLoadState('networkidle');
    if ((await page.locator('main').innerText()).includes('onerror')) shown += 1;
    expect([path, await page.locator('img, iframe, object, embed').count()]).toEqual([path, 0]);
  };
  for (const key of keys) await look(`/console/writes/${key}`);
  for (const path of [
    'books',
    'books/receivables',
    'books/profit-and-loss',
    'books/balance-sheet',
    'approvals',
    'batches',
  ]) {
    await look(`/console/${path}`);
  }
  const entries = (await demo.owner.get('/api/ledger/entries?limit=20')).json.items as { id: string }[];
  for (const { id } of entries) await look(`/console/books/entries/${id}`);
  expect(shown).toBeGreaterThan(30);
  expect(faults).toEqual([]);
  await close();
});

type Schema = {
  readonly type?: string | readonly string[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly items?: Schema;
  readonly anyOf?: readonly Schema[];
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly format?: string;
  readonly pattern?: string;
  readonly maxLength?: number;
};

function schemaOf(document: Document, id: string): Schema {
  const route = routesOf(document).find(({ route: { operationId } }) => id.startsWith(`${operationId}:`))?.route;
  return (route?.requestBody?.content['application/json']?.schema ?? {}) as Schema;
}

/** The body with the script in each member that takes any text, whether the example has it or not. */
function withScript(schema: Schema, value: unknown, onField: (pointer: string) => void, pointer = ''): unknown {
  if (isFreeText(schema)) {
    onField(pointer);
    return SCRIPT;
  }
  const members = schema.properties;
  if (members !== undefined && typeof value === 'object' && value !== null) {
    const given = value as Readonly<Record<string, unknown>>;
    const changed = Object.entries(members)
      .filter(([name, member]) => name in given || isFreeText(member))
      .map(([name, member]) => [name, withScript(member, given[name], onField, `${pointer}/${name}`)]);
    return { ...given, ...Object.fromEntries(changed) };
  }
  const { items } = schema;
  if (items !== undefined && Array.isArray(value)) {
    return value.map((item) => withScript(items, item, onField, `${pointer}/*`));
  }
  return value;
}

function isFreeText({
  type,
  enum: oneOf,
  const: only,
  format,
  pattern,
  anyOf,
  maxLength = SCRIPT.length,
}: Schema): boolean {
  if (anyOf !== undefined) return anyOf.some(isFreeText);
  const isText = [type].flat().includes('string');
  return (
    isText &&
    oneOf === undefined &&
    only === undefined &&
    format === undefined &&
    pattern === undefined &&
    maxLength >= SCRIPT.length
  );
}
