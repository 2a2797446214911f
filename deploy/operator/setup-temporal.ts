import { setTimeout as sleep } from 'node:timers/promises';
import type { NativeConnection } from '@temporalio/worker';
import { DAY_S } from '../../activities/durations.ts';
import { GRPC, serviceCallCode } from '../../worker/grpc.ts';
import { connectTemporal } from '../../worker/temporal.ts';
import { SEARCH_ATTRIBUTE_NAMES } from '../../workflows/search-attributes.ts';
import type { TemporalTarget } from '../cli/config.ts';
import { DEFAULT_RETENTION_DAYS } from './retention.ts';

type Setup = { namespace: string; createdNamespace: boolean; addedSearchAttributes: string[] };

/** `INDEXED_VALUE_TYPE_KEYWORD` of Temporal's API, which the SDK does not export. */
const KEYWORD = 2;

/** A new namespace or attribute reaches all parts of the server only when their caches expire, after 10 to 60 s. */
const VISIBLE_TIMEOUT_MS = 90_000;
const VISIBLE_POLL_MS = 500;

/** Creates what is missing and waits until it can be used; changes nothing that exists. */
export async function setupTemporal(
  connection: NativeConnection,
  namespace: string,
  retentionDays = DEFAULT_RETENTION_DAYS,
): Promise<Setup> {
  const createdNamespace = await ensureNamespace(connection, namespace, retentionDays);
  const addedSearchAttributes = await ensureSearchAttributes(connection, namespace);
  return { namespace, createdNamespace, addedSearchAttributes };
}

export async function connectTarget(target: TemporalTarget): Promise<NativeConnection> {
  try {
    return await connectTemporal(target);
  } catch (cause) {
    throw new Error(
      `Temporal at ${target.TEMPORAL_ADDRESS} cannot be reached. Is it running? (${(cause as Error).message})`,
      {
        cause,
      },
    );
  }
}

async function ensureNamespace(connection: NativeConnection, namespace: string, days: number): Promise<boolean> {
  const describe = () => connection.workflowService.describeNamespace({ namespace });
  try {
    await describe();
    return false;
  } catch (error) {
    if (serviceCallCode(error) !== GRPC.notFound) throw error;
  }
  await connection.workflowService.registerNamespace({
    namespace,
    workflowExecutionRetentionPeriod: { seconds: days * DAY_S } as never,
  });
  await eventually(describe);
  return true;
}

async function ensureSearchAttributes(connection: NativeConnection, namespace: string): Promise<string[]> {
  const missing = await missingAttributes(connection, namespace);
  if (missing.length === 0) return [];
  const searchAttributes = Object.fromEntries(missing.map((name) => [name, KEYWORD]));
  await eventually(() => connection.operatorService.addSearchAttributes({ namespace, searchAttributes }));
  await eventually(async () => {
    const still = await missingAttributes(connection, namespace);
    if (still.length > 0) throw new Error(`the search attributes ${still.join(', ')} do not appear`);
  });
  return missing;
}

async function missingAttributes(connection: NativeConnection, namespace: string): Promise<string[]> {
  const { customAttributes } = await eventually(() => connection.operatorService.listSearchAttributes({ namespace }));
  const wrong = SEARCH_ATTRIBUTE_NAMES.filter((name) => (customAttributes?.[name] ?? KEYWORD) !== KEYWORD);
  if (wrong.length > 0) {
    throw new Error(
      `${wrong.join(', ')}: this search attribute exists with a type other than Keyword. Remove it, then run this again.`,
    );
  }
  return SEARCH_ATTRIBUTE_NAMES.filter((name) => !Object.hasOwn(customAttributes ?? {}, name));
}

/** Retries while some part of the server does not know a new namespace yet. */
async function eventually<T>(attempt: () => Promise<T>): Promise<T> {
  const deadline = performance.now() + VISIBLE_TIMEOUT_MS;
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      const code = serviceCallCode(error);
      const isTemporary = code === undefined || code === GRPC.notFound;
      if (!isTemporary || performance.now() >= deadline) throw error;
      await sleep(VISIBLE_POLL_MS);
    }
  }
}
