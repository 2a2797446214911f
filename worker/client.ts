import { Client, type ConnectionLike } from '@temporalio/client';
import type { PayloadConfig } from './config.ts';
import { dataConverterOf, type RefusalReport } from './payloads/data-converter.ts';

/**
 * Every client of this system is made here: what Temporal keeps is encrypted, and what it says is believed only if it is ours.
 * `report`: of a process, not of a command, which says itself what it could not read.
 */
export function createClient(connection: ConnectionLike, config: PayloadConfig, report?: RefusalReport): Client {
  return new Client({
    connection,
    namespace: config.TEMPORAL_NAMESPACE,
    dataConverter: dataConverterOf(config, { unknownKeys: 'refuse', report }),
  });
}
