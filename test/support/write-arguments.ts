import { randomUUID } from 'node:crypto';
import { fingerprint } from '../../activities/identity.ts';
import { type Operation, parseInput } from '../../activities/operation.ts';
import type { Role } from '../../activities/roles.ts';
import type { WireInput, WriteArguments } from '../../workflows/messages.ts';
import type { Company } from './companies.ts';

/** What an API would start a run with, for tests that start one, or an attempt, themselves. */
export function writeArguments(
  company: Pick<Company, 'id' | 'users'>,
  operation: Operation,
  body: object,
  key: string,
  { params = {}, as = 'owner' }: { readonly params?: Readonly<Record<string, string>>; readonly as?: Role } = {},
): WriteArguments {
  const input = parseInput(operation, { params, body }) as WireInput;
  return {
    operation: operation.name,
    companyId: company.id,
    key,
    input,
    fingerprint: fingerprint(operation.name, input),
    schemaVersion: operation.schemaVersion,
    policy: {
      startToCloseMs: 15_000,
      scheduleToCloseMs: 60_000,
      initialIntervalMs: 100,
      backoffCoefficient: 2,
      maximumIntervalMs: 1_000,
      localRetryThresholdMs: 5_000,
    },
    actor: { userId: company.users[as].id },
    request: { id: randomUUID(), method: operation.method, path: operation.path },
    submissionId: randomUUID(),
  };
}
