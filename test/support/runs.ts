import type { Client } from '@temporalio/client';
import { workflowIdOf } from '../../activities/identity.ts';
import type { Company } from './companies.ts';
import { until } from './held-invoice.ts';

/** Counts the runs in Temporal of a company, or of one of its keys; waits until there are `atLeast` so many. */
export async function countRuns(
  temporal: Client,
  { company, key, atLeast = 1 }: { company: Pick<Company, 'id'>; key?: string; atLeast?: number },
): Promise<number> {
  const query = `CompanyId = '${company.id}'${key === undefined ? '' : ` AND IdempotencyKey = '${key}'`}`;
  let count = 0;
  // Temporal lists a run a moment after it has started it.
  await until(`${atLeast} runs where ${query}`, async () => {
    ({ count } = await temporal.workflow.count(query));
    return count >= atLeast;
  });
  return count;
}

/** The key workflow of a write. */
export function keyWorkflow(temporal: Client, company: Pick<Company, 'id'>, key: string) {
  return temporal.workflow.getHandle(workflowIdOf(company.id, key));
}

export async function statusOf(temporal: Client, company: Pick<Company, 'id'>, key: string): Promise<string> {
  return (await keyWorkflow(temporal, company, key).describe()).status.name;
}
