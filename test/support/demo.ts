import { randomUUID } from 'node:crypto';
import { NativeConnection } from '@temporalio/worker';
import { inject } from 'vitest';
import { DEMO_COMPANY_ID } from '../../activities/demo.ts';
import { seedBooks, seedCompanies } from '../../deploy/local/seed.ts';
import { setupTemporal } from '../../deploy/operator/setup-temporal.ts';
import { type ApiClient, createApiClient } from './client.ts';
import { type System, startSystem } from './system.ts';
import { signToken } from './tokens.ts';

/**
 * A system that is seeded as `npm start` seeds it, and the client of Demo Ltd's owner with its token. In a namespace of its own: the
 * demo's IDs and keys are fixed, so that the runs of one such system would be in the way of the next.
 */
export async function startDemoSystem(): Promise<{ system: System; owner: ApiClient; token: string }> {
  const namespace = `demo-${randomUUID()}`;
  const connection = await NativeConnection.connect({ address: inject('temporalAddress') });
  try {
    await setupTemporal(connection, namespace);
  } finally {
    await connection.close();
  }
  const system = await startSystem({ environment: { TEMPORAL_NAMESPACE: namespace } });
  try {
    const ownerUrl = new URL(inject('ownerUrl'));
    ownerUrl.pathname = new URL(system.environment['DATABASE_URL'] ?? '').pathname;
    const { demoOwnerId } = await seedCompanies(ownerUrl.href);
    const token = await signToken({ userId: demoOwnerId, companyId: DEMO_COMPANY_ID });
    await seedBooks({ apiUrl: system.url, token, log: () => {} });
    return { system, owner: createApiClient(system.url, token), token };
  } catch (error) {
    await system.stop();
    throw error;
  }
}
