/**
 * Runs the built client where there is nothing but JavaScript and what browsers, edge runtimes and Node have in common:
 *
 *   node --experimental-vm-modules --import tsx test/support/web-globals.ts INDEX_JS URL TOKEN
 *
 * prints what became of a write that was sent twice, and of a list, as JSON.
 */
import { readFileSync } from 'node:fs';
import { fileURLToPath, pathToFileURL } from 'node:url';
import vm from 'node:vm';
import type { createClient as CreateClient } from '../../deploy/client/src/index.ts';

const [, , entry = '', baseUrl = '', token = ''] = process.argv;
/** Of the Minimum Common Web API (Ecma TC55) as much as the client may use. */
const ALLOWED = [
  ...[
    'AbortController',
    'AbortSignal',
    'DOMException',
    'Headers',
    'TextDecoder',
    'TextEncoder',
    'URL',
    'URLSearchParams',
  ],
  ...['atob', 'btoa', 'clearTimeout', 'crypto', 'fetch', 'performance', 'setTimeout'],
] as const;
const context = vm.createContext(Object.fromEntries(ALLOWED.map((name) => [name, asInBrowsers(globalThis[name])])));
const modules = new Map<string, vm.Module>();

const client = moduleAt(pathToFileURL(entry).href);
await client.link(async (specifier, from) => {
  if (!specifier.startsWith('.')) throw new Error(`${from.identifier} imports ${specifier}`);
  return moduleAt(new URL(specifier, from.identifier).href);
});
await client.evaluate();
const { createClient } = client.namespace as { createClient: typeof CreateClient };

const kept: string[] = [];
const keyStore = { keep: () => void kept.push('kept'), settle: () => void kept.push('settled') };
const books = createClient({ baseUrl, token: () => token, keyStore });
const pending = books.customers.create({ name: 'Acme Ltd', currency: 'USD' });
const first = await pending;
const second = await books.customers.create(
  { name: 'Acme Ltd', currency: 'USD' },
  { idempotencyKey: pending.idempotencyKey },
);
const listed: string[] = [];
for await (const { name } of books.customers.list({ limit: 1 })) listed.push(name);
console.log(
  JSON.stringify({
    replayed: [first.replayed, second.replayed],
    same: first.resource.id === second.resource.id,
    kept,
    listed,
  }),
);

/** A browser's `fetch` or `setTimeout` refuses to be called as the method of some other object. */
function asInBrowsers(value: unknown): unknown {
  if (typeof value !== 'function' || /^[A-Z]/.test(value.name)) return value;
  return function (this: unknown, ...args: readonly unknown[]): unknown {
    if (this !== undefined) throw new TypeError('Illegal invocation');
    return Reflect.apply(value, undefined, args);
  };
}

function moduleAt(url: string): vm.Module {
  const known = modules.get(url);
  if (known !== undefined) return known;
  const made = new vm.SourceTextModule(readFileSync(fileURLToPath(url), 'utf8'), { context, identifier: url });
  modules.set(url, made);
  return made;
}
