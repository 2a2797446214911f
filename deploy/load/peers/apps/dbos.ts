/** DBOS Transact: one workflow per payment, whose ID is company and key, with the SQL in a transaction of its data source. */
import { DBOS } from '@dbos-inc/dbos-sdk';
import { PostgresDataSource } from '@dbos-inc/postgres-datasource';
import { config, POOL_SIZE, required } from './config.ts';
import type { Command } from './payment.ts';
import { servePayments } from './service.ts';
import { payInOneStatement, type Query } from './write-payment.ts';

const { hostname, port, username, password, pathname } = new URL(config.DATABASE_URL);
const payments = new PostgresDataSource('payments', {
  host: hostname,
  port: Number(port),
  user: username,
  password,
  database: pathname.slice(1),
  max: POOL_SIZE,
  onnotice: () => {},
});
/** Runs in the transaction that also records that this step is done. Its driver is postgres.js, which names statements itself. */
const query: Query = async <Row>(_name: string, text: string, values: unknown[]) =>
  (await PostgresDataSource.client.unsafe(text, values as never[], { prepare: true })) as unknown as Row[];
const createPayment = DBOS.registerWorkflow(
  (command: Command) => payments.runTransaction(() => payInOneStatement(query, command), { name: 'pay' }),
  { name: 'createPayment' },
);

DBOS.setConfig({
  name: 'peers',
  systemDatabaseUrl: required(config.DBOS_DATABASE_URL),
  systemDatabasePoolSize: POOL_SIZE,
  runAdminServer: false,
  logLevel: 'error',
});
await DBOS.launch();
await servePayments(async (command) => {
  const workflowID = `${command.companyId}/${command.key}`;
  const handle = await DBOS.startWorkflow(createPayment, { workflowID })(command);
  return handle.getResult();
});
