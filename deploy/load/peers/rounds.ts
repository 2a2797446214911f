import { randomInt } from 'node:crypto';
import { withDatabase } from '../../cli/command.ts';
import { startPostgres } from '../../local/postgres.ts';
import { openThrowawayFolder } from '../../local/throwaway-folder.ts';
import { notesOn } from '../benchmark/servers.ts';
import type { Contender, Stage } from './contenders/contender.ts';
import { invoicesFor, type Measurements, type MeasureOptions, measure } from './measure/measure.ts';

/** Everything that was measured of a contender, over all rounds. */
export type ContenderResult = {
  readonly name: string;
  readonly title: string;
  readonly promises: string;
  readonly auditAndCompanies: string;
  /** Undefined if it did not even start. */
  version?: string;
  /** Why a round failed; the others go on. */
  failure?: string;
  readonly rounds: Measurements[];
};

export type RoundsResult = {
  readonly postgresVersion: string;
  readonly notes: readonly string[];
  readonly results: readonly ContenderResult[];
};

/** Below the ephemeral port range; the server searches upward from there. */
const FIRST_PORT = 20_000;
const LAST_PORT = 30_000;

/** Measures the contenders one after another on one PostgreSQL, each with its engine and a new database in each round. */
export async function runRounds(
  contenders: readonly Contender[],
  options: MeasureOptions & { readonly rounds: number },
): Promise<RoundsResult> {
  const { rounds, signal, log, modes } = options;
  const throwaway = openThrowawayFolder();
  const { path: folder, recordingPid } = throwaway;
  log('Starting a separate PostgreSQL server');
  const port = randomInt(FIRST_PORT, LAST_PORT);
  const postgres = await startPostgres({ dataDir: folder, port, durable: true, log });
  try {
    const stage = { folder, postgres, invoices: invoicesFor(options.concurrencies), signal, log, recordingPid };
    const results = contenders.map(({ name, title, promises, auditAndCompanies }): ContenderResult => {
      return { name, title, promises, auditAndCompanies, rounds: [] };
    });
    for (let round = 0; round < rounds; round += 1) {
      // Figures need several rounds; what becomes of a kill or of another body needs one.
      const wanted = round === 0 ? modes : modes.filter((mode) => mode !== 'mismatch' && mode !== 'kills');
      for (const index of orderOf(round, contenders.length)) {
        const [contender, result] = [contenders[index] as Contender, results[index] as ContenderResult];
        const prefix = `${contender.name}${rounds > 1 ? `, round ${round + 1} of ${rounds}` : ''}: `;
        const own = { ...options, modes: wanted, log: (line: string) => log(prefix + line) };
        await runOne(contender, stage, own, result);
      }
    }
    return { postgresVersion: await versionOf(postgres.superuserUrl), notes: notesOn(folder), results };
  } finally {
    await postgres.stop();
    throwaway.remove();
  }
}

/** Each round starts at another contender, so that none has always the same one before it. */
export function orderOf(round: number, count: number): number[] {
  return Array.from({ length: count }, (_, position) => (position + round) % count);
}

async function runOne(contender: Contender, stage: Stage, options: MeasureOptions, result: ContenderResult) {
  const { signal, log } = options;
  signal.throwIfAborted();
  log('starting');
  try {
    const running = await contender.start({ ...stage, log });
    result.version = running.version;
    try {
      // A checkpoint that the contender before it has left to do would otherwise be charged to this one.
      await withDatabase(stage.postgres.superuserUrl, (superuser) => superuser.query('CHECKPOINT'));
      const measured = await measure(running, options);
      signal.throwIfAborted(); // What was cut short is not a figure.
      result.rounds.push(measured);
    } finally {
      await running.stop();
    }
  } catch (error) {
    signal.throwIfAborted();
    result.failure = error instanceof Error ? error.message : String(error);
    log(`FAILED: ${result.failure}`);
  }
}

function versionOf(superuserUrl: string): Promise<string> {
  return withDatabase(superuserUrl, async (superuser) => {
    const { rows } = await superuser.query<{ server_version: string }>('SHOW server_version');
    return rows[0]?.server_version ?? 'unknown';
  });
}
