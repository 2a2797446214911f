import { Client, type ConnectionLike } from '@temporalio/client';
import type { PayloadConfig } from './config.ts';
import { dataConverterOf } from './payloads/data-converter.ts';

/** Every client of this system is made here: what Temporal keeps is encrypted, and what it says is believed only if it is ours. */
export function createClient(connection: ConnectionLike, config: PayloadConfig): Client {
  return new Client({
    connection,
    namespace: config.TEMPORAL_NAMESPACE,
    dataConverter: dataConverterOf(config, { unknownKeys: 'refuse' }),
  });
}
