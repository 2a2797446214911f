import fastify from 'fastify';
import pg from 'pg';
import { config, POOL_SIZE } from './config.ts';
import { type Command, type PaymentRequest, toCommand, type Written } from './payment.ts';

/**
 * The HTTP service that all contenders but ours share; only `write` differs. The bearer token is the company, unchecked:
 * authentication is not what is compared, and ours pays for its own.
 */
export async function servePayments(write: (command: Command) => Promise<Written>): Promise<void> {
  const app = fastify({ forceCloseConnections: true });
  app.get('/readyz', async () => ({ ready: true }));
  app.post<{ Body: PaymentRequest }>('/api/payments', { schema: { body: BODY } }, async (request, reply) => {
    const { authorization, 'idempotency-key': key } = request.headers;
    const companyId = authorization?.replace(/^Bearer /, '');
    if (!companyId || typeof key !== 'string') return reply.code(400).send({ message: 'company or key is missing' });
    const command = toCommand(companyId, key, request.body);
    const written = await write(command);
    if (written === 'mismatch') return reply.code(422).send({ code: 'idempotency_key_reused' });
    if (written.paymentId !== command.paymentId) reply.header('idempotent-replayed', 'true');
    return reply.code(201).type('application/json').send(written.answer);
  });
  app.setErrorHandler((error: { message: string; statusCode?: number }, _request, reply) => {
    // Without the error's own code: a client takes an answer with a code for final.
    return reply.code(error.statusCode ?? 500).send({ message: error.message });
  });
  await app.listen({ host: '127.0.0.1', port: config.PORT, backlog: 2_048 });
  process.once('SIGTERM', () => void app.close().finally(() => process.exit()));
}

export function openPaymentPool(): pg.Pool {
  const pool = new pg.Pool({ connectionString: config.DATABASE_URL, max: POOL_SIZE });
  pool.on('error', () => {}); // An idle connection was lost; the pool opens another.
  return pool;
}

const BODY = {
  type: 'object',
  additionalProperties: false,
  required: ['invoiceId', 'amount', 'currency', 'method', 'receivedOn'],
  properties: {
    invoiceId: { type: 'string', format: 'uuid' },
    amount: { type: 'integer', minimum: 1 },
    currency: { type: 'string', pattern: '^[A-Z]{3}$' },
    method: { type: 'string', maxLength: 40 },
    receivedOn: { type: 'string', format: 'date' },
  },
};
