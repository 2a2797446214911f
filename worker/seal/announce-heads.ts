import { hash } from 'node:crypto';
import { appendFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Client, WorkflowExecutionAlreadyStartedError } from '@temporalio/client';
import type { Logger } from 'pino';
import type { Pool } from '../../activities/database.ts';
import { type HeadOfLog, headsToAnnounce, markAnnounced } from '../../activities/seal/heads.ts';
import { uuidV5 } from '../../activities/uuid-v5.ts';
import { eventTaskQueue } from '../../workflows/event-messages.ts';
import {
  ANNOUNCE_HEADS_WORKFLOW_TYPE,
  type HeadsToAnnounce,
  type SealedCall,
  type SignedHead,
} from '../../workflows/seal-messages.ts';
import { callWithin } from '../call-within.ts';

const START_TIMEOUT_MS = 10_000;
/** Within a day, as events are; then the next head tells as much. */
const DELAYS_MS = [30_000, 300_000, 1_800_000, 7_200_000, 28_800_000, 28_800_000];
/** The file has rows' digests, and no more than what anyone may know who may know that the company exists. */
const FILE_MODE = 0o600;

/**
 * Lets the published heads leave the database: into the log, into a file where a folder is given, and into the memo of a
 * workflow that tells them to webhooks. A process that dies in between repeats it: heads that are told twice are the same.
 */
export async function announceHeads(options: {
  readonly pool: Pool;
  readonly client: Client;
  readonly taskQueue: string;
  readonly folder: string | undefined;
  readonly logger: Logger;
  readonly delaysMs?: readonly number[];
  /** Before the first call of a webhook: until then heads may get their time stamps. The run and its memo are there at once. */
  readonly startDelayMs?: number;
}): Promise<number> {
  const { pool, client, logger, startDelayMs } = options;
  const heads = await headsToAnnounce(pool);
  if (heads.length === 0) return 0;
  for (const head of heads) logger.info(toPublished(head), 'A head of the seal is published');
  if (options.folder !== undefined) await appendHeads(options.folder, heads.map(toPublished));
  const calls = callsOf(heads);
  try {
    await callWithin(client.connection, START_TIMEOUT_MS, () =>
      client.workflow.start(ANNOUNCE_HEADS_WORKFLOW_TYPE, {
        workflowId: `seal-heads:${hash('sha256', heads.map(({ head }) => head).join('\n'), 'hex').slice(0, 32)}`,
        taskQueue: eventTaskQueue(options.taskQueue),
        args: [{ calls, delaysMs: options.delaysMs ?? DELAYS_MS } satisfies HeadsToAnnounce],
        memo: { heads: heads.map(toPublished) },
        workflowIdReusePolicy: 'REJECT_DUPLICATE',
        ...(startDelayMs === undefined ? {} : { startDelay: startDelayMs }),
        staticSummary: `${heads.length} heads of the seal, of ${calls.length} companies`,
      }),
    );
  } catch (error) {
    if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
  }
  await markAnnounced(pool, heads);
  return heads.length;
}

function callsOf(heads: readonly HeadOfLog[]): SealedCall[] {
  const byCompany = new Map<string, HeadOfLog[]>();
  for (const head of heads) byCompany.set(head.companyId, [...(byCompany.get(head.companyId) ?? []), head]);
  return [...byCompany].map(([companyId, own]) => ({
    companyId,
    callId: `sealed_${uuidV5(own.map(({ log, position }) => `${log}:${position}`).join(), companyId)}`,
    heads: own.map(toPublished),
  }));
}

/** One file a month, a line for each head, only added to. */
export async function appendHeads(folder: string, heads: readonly ToldHead[]): Promise<void> {
  const byMonth = new Map<string, string>();
  for (const head of heads) {
    const { publishedAt } = JSON.parse(head.head) as { publishedAt: string };
    const month = publishedAt.slice(0, 7);
    byMonth.set(month, `${byMonth.get(month) ?? ''}${JSON.stringify(head)}\n`);
  }
  for (const [month, lines] of byMonth) {
    await appendFile(join(folder, `seal-heads-${month}.ndjson`), lines, { mode: FILE_MODE, flush: true });
  }
}

/** With its time stamp where it has got one by then: a token of RFC 3161, in base64. */
export type ToldHead = SignedHead & { readonly timeStamp?: string };

export function toPublished({ head, keyId, signature }: HeadOfLog): SignedHead {
  return { head, keyId, signature };
}
