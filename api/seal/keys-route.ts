import type { FastifyInstance } from 'fastify';
import { asApplication } from '../../activities/as-application.ts';
import type { Database } from '../../activities/database.ts';
import { jwkOf } from '../../activities/seal/signing-key.ts';
import { withStorageTimeout } from '../http/storage-timeout.ts';

const LIMIT_MS = 5_000;

/**
 * `GET /.well-known/accubooks-seal-keys.json`: the public keys that have signed heads of the seal, as a JWK set (RFC 7517, RFC
 * 8037). Without a token: whoever checks a head needs nothing else from us.
 */
export function registerSealKeys(app: FastifyInstance, { reads }: Pick<Database, 'reads'>): void {
  app.get('/.well-known/accubooks-seal-keys.json', async (_request, reply) => {
    const reading = asApplication(reads, (tx) =>
      tx.query<{ key_id: string; public_key: Buffer }>(
        'SELECT key_id, public_key FROM seal_keys ORDER BY first_used_at, key_id',
      ),
    );
    const keys = (await withStorageTimeout(reading, LIMIT_MS)).map(({ key_id, public_key }) =>
      jwkOf(key_id, public_key),
    );
    return reply.header('cache-control', 'public, max-age=300').type('application/jwk-set+json').send({ keys });
  });
}
