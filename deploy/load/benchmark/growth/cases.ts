import { randomInt } from 'node:crypto';
import { openPooledHttp } from '../../../cli/pooled-http.ts';
import type { Answer, Http } from '../../../client/src/http.ts';
import { closedLoop, type Once, type Window } from '../../loops.ts';
import { inTurn, payOnce } from '../modes.ts';
import { createRig, type Rig } from '../rig.ts';
import { paymentKey } from './books.ts';
import { behindRelay } from './relay.ts';
import type { Drawn, Side } from './side.ts';

/** What is measured on both databases. */
export type Case = { readonly name: string; measure(slice: Slice): Promise<Measured> };

/** The load of one case on one database for a while, in companies that are drawn anew each time. */
type Slice = { readonly side: Side; readonly companies: readonly Drawn[]; readonly window: Window };

/** Milliseconds, by what took them. */
export type Measured = Readonly<Record<string, readonly number[]>>;

export const CASES: readonly Case[] = [
  named('new, c=1', (slice) => payments(slice, 1)),
  named('new, c=32', (slice) => payments(slice, 32)),
  named('replay, c=32', (slice) => replays(slice, 32)),
  named('GET /api/writes/{key}', lookups),
  named('GET /api/writes?…', (slice) => firstPages(slice, PAYMENTS_OF_CLIENTS)),
  named('GET /api/writes?…&cursor=…', (slice) => secondPages(slice, PAYMENTS_OF_CLIENTS)),
  named('GET /api/payments', (slice) => firstPages(slice, '/api/payments')),
  { name: 'relay', measure: (slice) => behindRelay(slice.side, () => payments(slice, 32)) },
];

const PAYMENTS_OF_CLIENTS = '/api/writes?operation=createPayment&state=succeeded';

function named(name: string, latenciesOf: (slice: Slice) => Promise<readonly number[]>): Case {
  return { name, measure: async (slice) => ({ [name]: await latenciesOf(slice) }) };
}

function payments(slice: Slice, clients: number): Promise<readonly number[]> {
  return writes(slice, clients, (payers) => {
    const nextPayer = inTurn(payers);
    return () => payOnce(nextPayer().rig);
  });
}

/** Payments that the database was filled with. Each must get the bytes that its row has. */
async function replays(slice: Slice, clients: number): Promise<readonly number[]> {
  const answers = slice.companies.map((company) => ({ company, texts: new Map<string, string>() }));
  const latencies = await writes(slice, clients, (payers) => async () => {
    const at = randomInt(payers.length);
    const [{ company, rig }, { texts }] = [payers[at] as Payer, answers[at] as (typeof answers)[number]];
    const ordinal = randomInt(company.payments);
    const key = paymentKey(company.companyId, ordinal);
    const answer = await rig.pay(key, company.invoiceIds[Math.floor(ordinal / company.paymentsAnInvoice)] as string);
    if (answer?.status !== 201) return false;
    if (!answer.replayed) rig.violate('a completed key was answered without the replay marker');
    texts.set(key, answer.text);
    return true;
  });
  for (const { company, texts } of answers) await compareWithRecord(slice.side, company, texts);
  return latencies;
}

async function compareWithRecord(side: Side, { companyId }: Drawn, texts: ReadonlyMap<string, string>): Promise<void> {
  const { rows } = await side.owner.query<{ key: string; body: string }>(
    `SELECT idempotency_key AS key, convert_from(response_body, 'UTF8') AS body FROM idempotent_writes
     WHERE company_id = $1 AND idempotency_key = ANY ($2)`,
    [companyId, [...texts.keys()]],
  );
  const equal = rows.filter(({ key, body }) => texts.get(key) === body).length;
  if (equal !== texts.size) side.violate(`${texts.size - equal} replays have other bytes than their rows`);
}

function lookups(slice: Slice): Promise<readonly number[]> {
  return reads(slice, async () => {
    const nextCompany = inTurn(slice.companies);
    return () => {
      const company = nextCompany();
      const key = paymentKey(company.companyId, randomInt(company.payments));
      return { company, path: `/api/writes/${key}` };
    };
  });
}

function firstPages(slice: Slice, path: string): Promise<readonly number[]> {
  return reads(slice, async () => {
    const nextCompany = inTurn(slice.companies);
    return () => ({ company: nextCompany(), path });
  });
}

function secondPages(slice: Slice, path: string): Promise<readonly number[]> {
  return reads(slice, async (get) => {
    const pages: Get[] = [];
    for (const company of slice.companies) {
      const { nextCursor } = JSON.parse((await get({ company, path })).text);
      if (nextCursor === null) throw new Error(`Bug! ${path} has only one page`);
      pages.push({ company, path: `${path}&cursor=${encodeURIComponent(nextCursor)}` });
    }
    return inTurn(pages);
  });
}

type Payer = { readonly company: Drawn; readonly rig: Rig };

/** Sends writes with a rig of each company. */
async function writes(
  { side, companies, window }: Slice,
  clients: number,
  createOnce: (payers: readonly Payer[]) => Once,
): Promise<readonly number[]> {
  return withHttp(side, clients, async (http) => {
    const payers = companies.map((company) => ({ company, rig: createRig(http, company.token, company.invoiceIds) }));
    const { latenciesMs } = await closedLoop(clients, createOnce(payers), window);
    for (const { company, rig } of payers) {
      await rig.settle();
      side.note(company.companyId, rig);
    }
    return latenciesMs;
  });
}

type Get = { readonly company: Drawn; readonly path: string };

/** One client reads, so that its latencies are those of the reads and not of a queue. */
async function reads(
  { side, window }: Slice,
  createNext: (get: (what: Get) => Promise<Answer>) => Promise<() => Get>,
): Promise<readonly number[]> {
  return withHttp(side, 1, async (http) => {
    const get = async ({ company, path }: Get) => {
      const answer = await http.send({ method: 'GET', path, token: company.token });
      if (answer.status !== 200) side.violate(`GET ${path} was answered ${answer.status}`);
      return answer;
    };
    const next = await createNext(get);
    const { latenciesMs } = await closedLoop(1, async () => (await get(next())).status === 200, window);
    return latenciesMs;
  });
}

async function withHttp<T>({ apiUrl }: Side, connections: number, work: (http: Http) => Promise<T>): Promise<T> {
  const http = openPooledHttp(apiUrl, { connections });
  try {
    return await work(http);
  } finally {
    await http.close();
  }
}
