import type { Client } from '@temporalio/client';

type History = NonNullable<Awaited<ReturnType<Client['workflowService']['getWorkflowExecutionHistory']>>['history']>;

/** The history as the server has it, without our codec. */
export async function rawHistory(
  { workflowService, options }: Client,
  workflowId: string,
): Promise<{ readonly events: NonNullable<History['events']> }> {
  const { history } = await workflowService.getWorkflowExecutionHistory({
    namespace: options.namespace,
    execution: { workflowId },
  });
  return { events: history?.events ?? [] };
}

/** What the server says of the run, likewise. */
export function rawRun({ workflowService, options }: Client, workflowId: string) {
  return workflowService.describeWorkflowExecution({ namespace: options.namespace, execution: { workflowId } });
}

/** All that it contains, bytes as text. Not by `JSON.stringify`: the messages of Temporal turn their bytes into base64. */
export function readable(value: unknown): string {
  if (value instanceof Uint8Array) return Buffer.from(value).toString('latin1');
  if (typeof value !== 'object' || value === null) return String(value);
  return Object.entries(value)
    .map(([name, each]) => `${name} ${readable(each)}`)
    .join('\n');
}
