import { randomInt } from 'node:crypto';
import { join } from 'node:path';
import { type RunningTemporal, startTemporal } from '../../../local/temporal.ts';
import { resolveTemporalBinary } from '../../../local/temporal-binary.ts';
import type { Stage } from './contender.ts';
import { temporalVersion } from './versions.ts';

/** Below the ephemeral port range; the server searches upward from there. */
const FIRST_PORT = 20_000;
const LAST_PORT = 30_000;

/** The dev server that `npm start` and `npm run benchmark` use, with SQLite in a file and WAL. */
export async function startTemporalServer(
  stage: Stage,
  folder: string,
): Promise<RunningTemporal & { readonly version: string }> {
  const binary = await resolveTemporalBinary(stage.log);
  const server = await startTemporal({
    binary: stage.recordingPid(binary),
    port: randomInt(FIRST_PORT, LAST_PORT),
    databaseFile: join(folder, 'temporal', 'temporal.db'),
    logFile: join(stage.folder, 'logs', 'temporal.log'),
  });
  return { ...server, version: temporalVersion(binary) };
}
