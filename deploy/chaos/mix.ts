import type { Operation } from '../../activities/operation.ts';
import { createCustomer } from '../../activities/operations/create-customer.ts';
import { createInvoice } from '../../activities/operations/create-invoice.ts';
import { createPayment } from '../../activities/operations/create-payment.ts';
import { inParallel } from '../cli/in-parallel.ts';
import type { Tenant } from '../cli/target.ts';
import { prepareInvoices } from '../load/benchmark/company.ts';
import { pickWeighted, type Random } from '../simulate/requests/random.ts';
import type { Client } from './load.ts';
import type { Planned, Stage } from './scenario.ts';

/** A company that can be written in: its customer, and finalized invoices with far more due than is ever paid. */
export type Books = { readonly tenant: Tenant; readonly customerId: string; readonly invoiceIds: readonly string[] };

const PREPARE_CONCURRENCY = 16;
const WEIGHTS = [
  ['createPayment', 6],
  ['createInvoice', 2],
  ['createCustomer', 2],
] as const;

export async function prepareBooks(stage: Stage, invoices: number): Promise<Books[]> {
  const { http, progress, signal, target } = stage;
  let done = 0;
  return inParallel(PREPARE_CONCURRENCY, target.tenants, async (tenant) => {
    const invoiceIds = await prepareInvoices(http, tenant.token, invoices, signal);
    const { text } = await http.send({ method: 'GET', path: `/api/invoices/${invoiceIds[0]}`, token: tenant.token });
    done += 1;
    progress.update(`prepared ${done} of ${target.tenants.length} companies`);
    return { tenant, invoiceIds, customerId: (JSON.parse(text) as { customerId: string }).customerId };
  });
}

/** Clients of each company, with payments, invoices and customers; the same keys in each company. */
export function mixedClients(
  stage: Stage,
  books: readonly Books[],
  clientsEach: number,
  writesEach?: number,
): Client[] {
  return books.flatMap((of) =>
    Array.from({ length: clientsEach }, (_, client): Client => {
      return (random, count) => {
        if (count === writesEach) return [];
        return [mixedWrite(of, random, `${stage.run}:${client}:${count}`)];
      };
    }),
  );
}

function mixedWrite(books: Books, random: Random, key: string): Planned {
  switch (pickWeighted(random, WEIGHTS)) {
    case 'createInvoice':
      return draft(books, key);
    case 'createCustomer':
      return planned(books.tenant, createCustomer, createCustomer.path, key, { name: 'Chaos', currency: 'USD' });
    default:
      return payment(books.tenant, random.pick(books.invoiceIds), key);
  }
}

/** Of one minor unit, so that any number of them fits an invoice. */
export function payment(tenant: Tenant, invoiceId: string, key: string, amount = 1): Planned {
  const body = { invoiceId, amount, currency: 'USD', method: 'card' };
  return planned(tenant, createPayment, createPayment.path, key, body);
}

export function draft({ tenant, customerId }: Books, key: string): Planned {
  const lines = [{ description: 'Work', quantity: '1', unitPrice: 100 }];
  const body = { customerId, currency: 'USD', dueDate: '2030-12-31', lines };
  return planned(tenant, createInvoice, createInvoice.path, key, body);
}

export function planned(tenant: Tenant, operation: Operation, path: string, key: string, body: object): Planned {
  const { method } = operation;
  return { tenant, operation, write: { method, path, token: tenant.token, key, body: JSON.stringify(body) } };
}
