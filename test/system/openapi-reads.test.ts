import Fastify from 'fastify';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { z } from 'zod';
import { OPERATIONS } from '../../activities/operation-list.ts';
import { createBatchList } from '../../api/batches/list.ts';
import { registerBatches } from '../../api/batches/routes.ts';
import type { ApiContext } from '../../api/context.ts';
import { registerExports } from '../../api/exports/routes.ts';
import { BATCH_SCHEMAS } from '../../api/openapi/batch-schemas.ts';
import { schemaName } from '../../api/openapi/json-schema.ts';
import { READ_SCHEMAS } from '../../api/openapi/read-schemas.ts';
import { WEBHOOK_SCHEMAS } from '../../api/openapi/webhook-routes.ts';
import { READS } from '../../api/reads/read-list.ts';
import { registerReads } from '../../api/reads/register.ts';
import { registerWebhooks } from '../../api/webhooks/routes.ts';
import { createApprovalList } from '../../api/writes/approval-list.ts';
import { registerCancel } from '../../api/writes/cancel.ts';
import { registerDecisions } from '../../api/writes/decide.ts';
import { createWriteList } from '../../api/writes/list.ts';
import { registerWriteProof } from '../../api/writes/proof.ts';
import { registerWriteRoutes } from '../../api/writes/routes.ts';
import { registerWriteStatus } from '../../api/writes/status.ts';
import { reconciledBankTransaction } from '../support/bank.ts';
import { batchClient, ndjson } from '../support/batches.ts';
import type { Company } from '../support/companies.ts';
import { paymentBody } from '../support/effects.ts';
import { numberEvents } from '../support/events.ts';
import { answerSchemaOf, type Document, fetchDocument, type RouteDocument, routesOf } from '../support/openapi.ts';
import { executedPayRun, stockedItem } from '../support/payroll.ts';
import { publishNow, sealAllOf, sealKey } from '../support/seals.ts';
import { type System, startSystem } from '../support/system.ts';
import { takeBack } from '../support/take-back.ts';

const SCHEMAS = new Map<string, z.ZodObject>([
  ...Object.entries(BATCH_SCHEMAS).map(([name, schema]) => [schemaName(name), schema] as const),
  ...Object.entries(WEBHOOK_SCHEMAS).map(([name, schema]) => [schemaName(name), schema] as const),
  ...OPERATIONS.map(({ resource }) => [schemaName(resource.type), resource.schema] as const),
  ...Object.entries(READ_SCHEMAS).map(([name, schema]) => [schemaName(name), schema] as const),
]);

describe('the document and what is read', () => {
  let system: System;
  let company: Company;
  let document: Document;
  beforeAll(async () => {
    system = await startSystem();
    company = await system.company();
    document = await fetchDocument(system.url);
  });
  afterAll(() => system.stop());

  test('every route below /api is in the document', async () => {
    const documented = routesOf(document)
      .filter(({ path }) => path.startsWith('/api/'))
      .map(({ method, path }) => `${method.toUpperCase()} ${path}`);
    expect((await registeredRoutes()).toSorted()).toEqual(documented.toSorted());
  });

  test('each answer has the members that the document names, and no others', async () => {
    const invoiceId = await company.invoice();
    const payment = await company.api.created('/api/payments', paymentBody(invoiceId), { key: 'paid' });
    const trigger = await company.api.created('/api/workflows/sendInvoiceReminders/trigger', {});
    await numberEvents(system.owner);
    const { refundId, creditNoteId, reminderId } = await takeBack(company, payment);
    await system.owner.query(
      "INSERT INTO security_log (company_id, event, reason) VALUES ($1, 'access_refused', 'forbidden')",
      [company.id],
    );
    const policy = { operation: 'createCustomer', approverRoles: ['admin'] };
    const policies = { expectedVersion: 1, policies: [policy] };
    await company.api.created('/api/company/approval-policies', policies, { method: 'PATCH' });
    expect((await company.api.post('/api/customers', { name: 'Waiting' })).status).toBe(202);
    const invoice = (await company.api.get(`/api/invoices/${invoiceId}`)).json;
    const run = await executedPayRun(company);
    const item = await stockedItem(company);
    // One of another space of keys.
    const file = ndjson([{ key: 'row', body: paymentBody(invoiceId) }, { body: {} }]);
    await batchClient(system, company).send(file, { key: 'paid', operation: 'createPayment' });
    const parameters: Readonly<Record<string, string>> = {
      customerId: invoice.customerId,
      invoiceId,
      paymentId: payment.id,
      refundId,
      creditNoteId,
      reminderId,
      entryId: payment.journalEntryId,
      code: '1100',
      year: (await company.api.get('/api/ledger/fiscal-years')).json.items[0].year,
      userId: company.users.owner.id,
      triggerId: trigger.id,
      eventId: trigger.workflowId,
      employeeId: run.payslips[0].employeeId,
      payRunId: run.id,
      itemId: item.id,
      key: 'paid',
      bankTransactionId: await reconciledBankTransaction(company.api),
    };
    // An export is no JSON: test/system/general-ledger.test.ts reads it. Operators' routes are read in operators.test.ts.
    const isJson = ({ path }: { path: string }) => path.startsWith('/api/') && path !== '/api/reports/general-ledger';
    await sealAllOf(system);
    await publishNow(system, [company.id], sealKey('k'));
    for (const { path, route } of routesOf(document).filter((one) => one.method === 'get' && isJson(one))) {
      const { status, json, text } = await company.api.get(
        path.replace(/\{(\w+)\}/g, (_, name) => parameters[name] ?? name),
      );
      expect([path, status]).toEqual([path, 200]);
      const { name, isPage } = answerSchemaOf(route);
      const schema = SCHEMAS.get(name === '' ? itemSchemaOf(route) : name);
      const items = isPage ? json.items : name === '' ? linesOf(text) : [json];
      expect([path, items.length]).not.toEqual([path, 0]);
      // parse() leaves out what the schema does not name.
      for (const item of items) expect([path, schema?.parse(item)]).toEqual([path, item]);
      expect(Object.keys(isPage ? json : { items, nextCursor: null }).toSorted()).toEqual(['items', 'nextCursor']);
    }
  });
});

/** Of an answer that is one JSON object a line. */
function itemSchemaOf({ responses }: RouteDocument): string {
  const content = responses['200']?.content?.['application/x-ndjson'];
  return content?.['x-item-schema']?.$ref.replace('#/components/schemas/', '') ?? '';
}

function linesOf(text: string): object[] {
  return text
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as object);
}

/** What the API registers, asked of a server that never serves: registering only names the routes. */
async function registeredRoutes(): Promise<string[]> {
  const routes: string[] = [];
  const app = Fastify({ exposeHeadRoutes: false });
  app.addHook('onRoute', ({ method, url }) => {
    for (const name of [method].flat()) routes.push(`${name} ${url.replace(/:(\w+)/g, '{$1}')}`);
  });
  const context = { operations: OPERATIONS, ui: { url: undefined, namespace: '' } } as unknown as ApiContext;
  registerWriteRoutes(app, context);
  registerWriteStatus(app, context);
  registerWriteProof(app, context);
  registerCancel(app, context);
  registerDecisions(app, context);
  const lists = [createWriteList, createApprovalList, createBatchList].map((list) =>
    list(context.operations, context.ui),
  );
  registerReads(app, [...READS, ...lists], context);
  registerExports(app, context);
  await registerBatches(app, context);
  registerWebhooks(app, context);
  return routes;
}
