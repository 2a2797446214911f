import { randomUUID } from 'node:crypto';
import type { Company } from './companies.ts';
import { until } from './held-invoice.ts';
import type { System } from './system.ts';

/** Triggers a registered workflow, which a relay has to start, and waits until it is done. */
export async function runTriggered<Result>(
  system: System,
  company: Company,
  name: string,
  payload: object,
  { role = 'owner', key = randomUUID() }: { readonly role?: 'owner' | 'admin' | 'manager'; readonly key?: string } = {},
): Promise<{ readonly triggerId: string; readonly result: Result }> {
  const { id, workflowId } = (await company.as(role).post(`/api/workflows/${name}/trigger`, { payload }, { key })).json;
  const handle = system.temporal.workflow.getHandle(workflowId);
  await until('its start', async () => (await handle.describe().catch(() => undefined)) !== undefined);
  return { triggerId: id, result: (await handle.result()) as Result };
}
