import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { FastifyInstance } from 'fastify';
import pg from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest';
import type { Operation } from '../../../activities/operation.ts';
import { OPERATIONS } from '../../../activities/operation-list.ts';
import { createCustomer } from '../../../activities/operations/create-customer.ts';
import { createInvoice } from '../../../activities/operations/create-invoice.ts';
import { type ContractReport, checkContract } from '../../../deploy/contract/check.ts';
import { contractSubject } from '../../support/contract-subject.ts';
import { oneByOne } from '../../support/one-by-one.ts';
import { type Overrides, type System, startSystem } from '../../support/system.ts';

/** Some sixty requests an operation and rule, and as many looks into the database. */
const ALL_OPERATIONS_MS = 300_000;
const SILENT = { update() {}, done() {} };

/** Routes that are registered beside the API's own, as someone would who goes around the path. */
const planted = vi.hoisted(() => [] as ((app: FastifyInstance) => void)[]);
vi.mock('../../../api/reads/register.ts', async (original) => {
  const real = await original<typeof import('../../../api/reads/register.ts')>();
  return {
    ...real,
    registerReads(...[app, reads, context]: Parameters<typeof real.registerReads>) {
      real.registerReads(app, reads, context);
      for (const plant of planted) plant(app);
    },
  };
});

describe('the contract checks', () => {
  let system: System;
  beforeAll(async () => {
    system = await startSystem();
  });
  afterAll(() => system.stop());

  test.each(['financial', 'high-risk'] as const)(
    'find nothing missing in any %s operation',
    async (type) => {
      const operations = OPERATIONS.filter((operation) => operation.type === type);
      const report = await checkContract(await contractSubject(system), { operations, all: OPERATIONS }, SILENT);
      expect(report.gaps).toEqual([]);
      expect(operations).not.toEqual([]);
      expect(Object.keys(report.operations).toSorted()).toEqual(operations.map(({ name }) => name).toSorted());
      expect(new Set(Object.values(report.operations).map((byRule) => Object.keys(byRule).length))).toEqual(
        new Set([8]),
      );
    },
    ALL_OPERATIONS_MS,
  );
});

describe('the contract checks report', () => {
  let system: System;
  const start = async (overrides: Overrides = {}) => {
    system = await startSystem(overrides);
  };
  beforeEach(() => void planted.splice(0));
  afterEach(() => system.stop());

  test('a route that inserts a customer by itself', async () => {
    planted.push((app) => {
      app.post('/api/customers/quick', async (request, reply) => {
        await system.owner.query(
          `INSERT INTO customers (company_id, id, name, currency) VALUES ($1, gen_random_uuid(), 'Quick', 'USD')`,
          [request.caller.companyId],
        );
        return reply.code(201).send({});
      });
      // As one of an operation, but for the method, and without a key.
      app.put('/api/invoices/:invoiceId/finalize', async (_request, reply) => reply.send({}));
    });
    await start();
    expect((await check()).gaps.toSorted()).toEqual([
      'POST /api/customers/quick is served but not documented, and is neither an operation nor a known route that writes no business rows',
      'PUT /api/invoices/{invoiceId}/finalize is served but not documented, and is neither an operation nor a known route that writes no business rows',
    ]);
    const company = await system.company();
    expect((await company.api.post('/api/customers/quick', {})).status).toBe(201);
    expect((await check()).operations['createCustomer']?.['deterministic ID']).toEqual([
      '1 rows of customers do not have the ID of a write: they were not created by one',
    ]);
  });

  test('a key that is made up', async () => {
    await start();
    const url = await inFrontOf(system.url, { request: { 'idempotency-key': 'made-up' } });
    expect(gapsOf(await check(createCustomer, url), 'key required')).toEqual([
      'a request without a key was answered 201, not 400 idempotency_key_missing',
      expect.stringContaining('a request without a key changed rows of customers'),
    ]);
  });

  test('an ID that is not the key’s', async () => {
    await start({
      operations: changed({
        async write(tx, input, context) {
          return createCustomer.write(tx, input, { ...context, writeId: context.rowId('customers', 0) });
        },
      }),
    });
    expect(gapsOf(await check(), 'deterministic ID')).toEqual(['it created no row with the ID of the write']);
  });

  test('uniqueness that the database does not hold', async () => {
    await start();
    await system.owner.query('ALTER TABLE outbox DROP CONSTRAINT outbox_one_event_a_write');
    expect(gapsOf(await check(), 'unique in the database')).toEqual([
      'there is no unique index on the events of a write',
    ]);
  });

  test('a role that may not, and may', async () => {
    await start({ operations: changed({ roles: [...createCustomer.roles, 'auditor'] }) });
    expect(gapsOf(await check(), 'real auth and concurrency')).toEqual([
      'a write with a role that may not write was answered 201, not 403 forbidden',
      'a replay with a role that may not write was answered 201, not 403 forbidden',
      expect.stringContaining('an unauthorized request changed rows of customers'),
    ]);
  });

  test('rows that another transaction has made', async () => {
    const elsewhere = new pg.Pool({ max: 2 });
    // The database goes before it does.
    elsewhere.on('error', () => undefined);
    onTestFinished(() => elsewhere.end());
    await start({
      operations: changed({
        async write(tx, input, context) {
          await elsewhere.query(
            `INSERT INTO customers (company_id, id, name, currency) VALUES ($1, gen_random_uuid(), 'Elsewhere', 'USD')`,
            [context.companyId],
          );
          return createCustomer.write(tx, input, context);
        },
      }),
    });
    elsewhere.options.connectionString = system.owner.options.connectionString;
    expect(gapsOf(await check(), 'one transaction')).toEqual([
      'a transaction other than the record’s wrote rows of customers',
    ]);
  });

  test('a table that companies share', async () => {
    await start();
    await system.owner.query('ALTER TABLE customers NO FORCE ROW LEVEL SECURITY');
    expect(gapsOf(await check(), 'tenant isolation')).toEqual(['no forced row-level security on customers']);
  });

  test('effects that a replay has once more', async () => {
    await start();
    await system.owner.query(`
      CREATE FUNCTION add_customer() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN
        PERFORM set_config('app.company_id', NEW.company_id::text, true);
        INSERT INTO customers (company_id, id, name, currency) VALUES (NEW.company_id, gen_random_uuid(), 'Again', 'USD');
        RETURN NULL;
      END $$;
      CREATE TRIGGER add_customer AFTER INSERT ON idempotent_write_audit_log FOR EACH ROW WHEN (NEW.status = 'replayed')
        EXECUTE FUNCTION add_customer()`);
    const report = await check();
    expect(gapsOf(report, 'effects only once')).toEqual(['a repetition changed rows of customers']);
    expect(gapsOf(report, 'replay and mismatch')).toEqual(['a replay or a mismatch changed rows of customers']);
  });

  test('what a known route beside the path begins to write', async () => {
    await start();
    // Whoever is called for a test becomes a customer.
    await system.owner.query(`
        CREATE FUNCTION add_customer() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN
          PERFORM set_config('app.company_id', NEW.company_id::text, true);
          INSERT INTO customers (company_id, id, name, currency) VALUES (NEW.company_id, gen_random_uuid(), 'Cancelled', 'USD');
          RETURN NULL;
        END $$;
        CREATE TRIGGER add_customer AFTER INSERT ON idempotent_writes FOR EACH ROW WHEN (NEW.outcome = 'cancelled')
          EXECUTE FUNCTION add_customer()`);
    expect((await check()).routes).toEqual([
      'POST /api/writes/{key}/cancel requires no key but changed rows of customers',
    ]);
  });

  test('an operation that is served and not in the list, and one that is in the list and not served', async () => {
    const foreign: Operation = { ...createCustomer, name: 'createFriend', path: '/api/friends' };
    await start({ operations: [...OPERATIONS.filter(({ name }) => name !== 'createInvoice'), foreign] });
    const { routes } = await check();
    expect(routes).toEqual([
      'POST /api/friends is documented and is neither an operation nor a known route that writes no business rows',
      'createInvoice is in the list, but POST /api/invoices is not served',
      'the documentation of POST /api/invoices differs from the declaration of createInvoice',
      'POST /api/invoices is documented without an Idempotency-Key',
    ]);
  });

  test('an operation that lacks what it takes to be tried', async () => {
    await start();
    const { operations } = await check({ ...createInvoice, examples: [] });
    expect(operations['createInvoice']?.['key required']).toEqual(['createInvoice has no example.']);
  });

  test('a replay that does not say so', async () => {
    await start();
    const url = await inFrontOf(system.url, { without: 'idempotent-replayed' });
    expect(gapsOf(await check(createCustomer, url), 'replay and mismatch')).toEqual([
      'a repetition was not marked as a replay',
      'a repetition after a mismatch did not get the first answer',
    ]);
  });

  test('rows that stand in another company too', async () => {
    await start();
    await system.owner.query(`
        CREATE FUNCTION copy_customer() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
        DECLARE another uuid := (SELECT company_id FROM create_company('Another Ltd', NEW.id || '@example.test', 'USD'));
        BEGIN
          INSERT INTO customers (company_id, id, name, currency) VALUES (another, NEW.id, NEW.name, NEW.currency);
          PERFORM set_config('app.company_id', NEW.company_id::text, true);
          RETURN NULL;
        END $$;
        CREATE TRIGGER copy_customer AFTER INSERT ON customers FOR EACH ROW WHEN (pg_trigger_depth() = 0)
          EXECUTE FUNCTION copy_customer()`);
    expect(gapsOf(await check(), 'tenant isolation')).toEqual(['another company has rows of the write: customers']);
  });

  test('some of many at once that are lost', async () => {
    let running = 0;
    await start({
      operations: changed({
        async write(tx, input, context) {
          running += 1;
          await sleep(200);
          running -= 1;
          if (running > 0) throw context.reject('customer_reference_taken', 'Not while another is made.');
          return createCustomer.write(tx, input, context);
        },
      }),
    });
    expect(gapsOf(await check(), 'real auth and concurrency')).toContainEqual(
      expect.stringMatching(/of 8 concurrent writes succeeded, not 8: .*409 customer_reference_taken/),
    );
  });

  async function check(operation: Operation = createCustomer, url = system.url): Promise<ContractReport> {
    const subject = { ...(await contractSubject(system, 3)), url };
    return checkContract(subject, { operations: [operation], all: OPERATIONS }, SILENT);
  }

  function gapsOf(report: ContractReport, rule: string): readonly string[] | undefined {
    return report.operations['createCustomer']?.[rule];
  }
});

/** All operations, with createCustomer another one. */
function changed(members: Partial<Operation>): Operation[] {
  return OPERATIONS.map((operation) =>
    operation.name === 'createCustomer' ? { ...oneByOne(operation), ...members } : operation,
  );
}

/** A proxy that adds headers to requests that lack them, or takes one away from the answers. */
async function inFrontOf(
  url: string,
  { request: added = {}, without }: { request?: Record<string, string>; without?: string },
): Promise<string> {
  const forward = async (request: IncomingMessage, response: ServerResponse) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const { connection: _, host: __, 'content-length': ___, ...headers } = request.headers as Record<string, string>;
    const answer = await fetch(url + request.url, {
      method: request.method ?? 'GET',
      headers: { ...added, ...headers },
      ...(chunks.length === 0 ? {} : { body: Buffer.concat(chunks) }),
    });
    const text = await answer.text();
    const kept = [...answer.headers].filter(([name]) => name !== without && !HOP_BY_HOP.has(name));
    response.writeHead(answer.status, Object.fromEntries(kept)).end(text);
  };
  const server = createServer((request, response) => {
    forward(request, response).catch((error: Error) => response.destroy(error));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const HOP_BY_HOP = new Set(['connection', 'keep-alive', 'transfer-encoding', 'content-length', 'content-encoding']);
