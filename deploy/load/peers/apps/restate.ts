/**
 * Restate: a handler with the SQL in `ctx.run`, called through Restate's ingress with its idempotency header. The front is
 * ours, since a public API has its own paths, validation and statuses.
 */
import './promise-with-resolvers.ts';
import * as restate from '@restatedev/restate-sdk';
import { Pool } from 'undici';
import { config, required } from './config.ts';
import type { Command, Written } from './payment.ts';
import { openPaymentPool, servePayments } from './service.ts';
import { payInOneStatement, queryOf } from './write-payment.ts';

const INGRESS_CONNECTIONS = 256;
/** A key of a killed process is answered once Restate has called the handler again. */
const ANSWER_TIMEOUT_MS = 120_000;

const query = queryOf(openPaymentPool());
const payments = restate.service({
  name: 'payments',
  handlers: {
    create: (context: restate.Context, command: Command): Promise<Written> =>
      context.run('pay', () => payInOneStatement(query, command)),
  },
});
await restate.serve({ services: [payments], port: required(config.RESTATE_HANDLER_PORT), logger: () => {} });

const ingress = new Pool(required(config.RESTATE_INGRESS_URL), {
  connections: INGRESS_CONNECTIONS,
  headersTimeout: ANSWER_TIMEOUT_MS,
  bodyTimeout: ANSWER_TIMEOUT_MS,
});
await servePayments(async (command) => {
  const { statusCode, body } = await ingress.request({
    method: 'POST',
    path: '/payments/create',
    // Restate's keys are per handler, not per company.
    headers: { 'content-type': 'application/json', 'idempotency-key': `${command.companyId}/${command.key}` },
    body: JSON.stringify(command),
  });
  const text = await body.text();
  if (statusCode !== 200) throw new Error(`Restate answered ${statusCode}: ${text.slice(0, 300)}`);
  return JSON.parse(text) as Written;
});
