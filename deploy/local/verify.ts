import { Connection } from '@temporalio/client';
import type { NativeConnection } from '@temporalio/worker';
import { openDatabase } from '../../activities/database.ts';
import { createClient } from '../../worker/client.ts';
import { readVerification } from '../../worker/fence.ts';
import type { TemporalTarget } from '../cli/config.ts';
import { operatorName } from '../cli/operator-log.ts';
import { compareKeyRunsNow, continueIfNothingIsMissing, readStake, verify } from '../operator/write/verify.ts';

const STATEMENT_TIMEOUT_MS = 10_000;
/** Of the statement that is recorded. */
const MAX_REASON = 1_000;

/**
 * Opens the database after a start, before there is any process that could write. One person owns a local system, and may
 * have left it alone for longer than Temporal remembers: where an operator would be asked, this marks what is lost, and says so.
 */
export async function verifyLocally(options: {
  readonly databaseUrl: string;
  readonly temporal: TemporalTarget;
  /** Where Temporal is not our own: it may need TLS or a key. */
  readonly connect?: () => Promise<NativeConnection>;
  readonly log: (line: string) => void;
}): Promise<void> {
  const { databaseUrl, temporal, connect, log } = options;
  const isOwn = connect === undefined;
  const database = openDatabase({
    connectionString: databaseUrl,
    writePoolMax: 1,
    readPoolMax: 2,
    statementTimeoutMs: STATEMENT_TIMEOUT_MS,
    applicationName: 'accubooks-local-start',
  });
  const connection = (await connect?.()) ?? Connection.lazy({ address: temporal.TEMPORAL_ADDRESS });
  const namespace = temporal.TEMPORAL_NAMESPACE;
  const context = {
    database,
    temporal: createClient(connection, temporal),
    taskQueue: temporal.TEMPORAL_TASK_QUEUE,
    ui: { url: undefined, namespace },
  };
  try {
    let { replaced } = await continueIfNothingIsMissing(context, { awaitsSurvivors: false });
    if (replaced === null && isOwn) {
      await compareKeyRunsNow(context);
      ({ replaced } = await readVerification(database.reads));
    }
    if (replaced === null) return;
    log(`The database is another than it was: ${replaced}`);
    const stake = await readStake(context, { close: true });
    if (stake.losses.unreadable.length > 0) {
      log(`What these runs contained is not known: ${stake.losses.unreadable.join(', ')}`);
    }
    const marked = await verify(context, stake, {
      operator: operatorName(),
      reason: `Opened by npm start: ${replaced}`.slice(0, MAX_REASON),
    });
    if (isOwn) await compareKeyRunsNow(context);
    log(
      marked.length === 0
        ? 'Verified: Temporal remembers no write that is missing'
        : `Verified: ${marked.length} writes are lost. Each key is answered 500 write_record_missing (npm run write -- show)`,
    );
  } finally {
    await connection.close();
    await database.close();
  }
}
