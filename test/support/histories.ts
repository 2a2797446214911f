import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Client } from '@temporalio/client';
import { historyToJSON } from '@temporalio/common/lib/proto-utils.js';
import { expect } from 'vitest';

/** One file a recorded run, named `{workflow type}-{version}-{how it went}.json` (see record-histories.ts). */
export const HISTORIES_FOLDER = fileURLToPath(new URL('../histories/', import.meta.url));

/**
 * Waits for the run to close, and saves its history, unless there is one of that name: those of a release are for ever.
 *
 * @param name `write-v1-success`
 * @returns how the run ended: `COMPLETED`, `FAILED`
 */
export async function saveHistory(temporal: Client, name: string, workflowId: string, runId?: string): Promise<string> {
  const handle = temporal.workflow.getHandle(workflowId, runId);
  await handle.result().catch(() => undefined);
  const json = JSON.stringify(JSON.parse(historyToJSON(await handle.fetchHistory()), withoutMachine), null, 1);
  expect(json).not.toContain(`@${hostname()}`);
  expect(json).not.toContain(process.cwd());
  const file = join(HISTORIES_FOLDER, `${name}.json`);
  mkdirSync(HISTORIES_FOLDER, { recursive: true });
  if (!existsSync(file)) writeFileSync(file, `${json}\n`);
  return (await handle.describe()).status.name;
}

/** Who ran it, and where its code lay, are of the machine that recorded. */
function withoutMachine(name: string, value: unknown): unknown {
  if (name === 'identity') return 'recorded';
  if (name === 'stackTrace') return '';
  if (name === 'taskQueue' || name === 'stickyAttributes') return { name: 'recorded', kind: 'TASK_QUEUE_KIND_NORMAL' };
  return value;
}
