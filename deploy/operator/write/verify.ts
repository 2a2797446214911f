import { setTimeout as sleep } from 'node:timers/promises';
import { OPERATIONS } from '../../../activities/operation-list.ts';
import { readAsCompany } from '../../../activities/read-as-company.ts';
import type { NumberKind } from '../../../activities/resources/document-number.ts';
import type { LostWrite } from '../../../activities/write/lose-write.ts';
import { readVerification, type Verification } from '../../../worker/fence.ts';
import { compareKeyRuns } from '../../../worker/verification/key-runs.ts';
import { createNamedRuns } from '../../../worker/verification/named-runs.ts';
import { reconcile } from '../../../worker/verification/reconcile.ts';
import { retentionMs } from '../../../worker/verification/verifier.ts';
import { findLosses, type Losses, openVerified, type Statement } from '../../../worker/verification/verify.ts';
import type { Company, OperatorContext } from './context.ts';

/** What a verification is about: the losses by company, before anything is opened. */
export type Stake = {
  /** Why the database waits for an operator. */
  readonly replaced: string | null;
  readonly verification: Verification;
  readonly losses: Losses;
  readonly companies: readonly CompanyStake[];
  /** Writes of companies that this database does not know: they are not marked. */
  readonly ofUnknownCompanies: number;
};

type CompanyStake = {
  readonly company: Company;
  readonly writes: readonly LostWrite[];
  /** How many numbers of each kind of document they took, which are not given again. */
  readonly numbers: Readonly<Partial<Record<NumberKind, number>>>;
  /** By currency, in minor units: the sums of what their requests name. */
  readonly amounts: Readonly<Record<string, bigint>>;
};

/** Lists what is at stake. `close`: no process can add to it any more; without it nothing is changed. */
export async function readStake(
  context: OperatorContext,
  options: { readonly close: boolean; onProgress?(read: { groups: number; keyRuns: number }): void },
): Promise<Stake> {
  const { pool, client, target } = dependenciesOf(context);
  const verification = await readVerification(pool);
  const losses = await findLosses({ pool, client, target, operations: OPERATIONS }, verification, options);
  const byCompany = new Map<string, LostWrite[]>();
  for (const write of losses.lost) {
    const { companyId } = write.args;
    byCompany.set(companyId, [...(byCompany.get(companyId) ?? []), write]);
  }
  const companies: CompanyStake[] = [];
  for (const [companyId, writes] of byCompany) {
    const [company] = await readAsCompany(pool, companyId, (tx) =>
      tx.query<Company>('SELECT id, name FROM companies WHERE id = current_company()'),
    );
    if (company !== undefined) companies.push({ company, writes, ...sumsOf(writes) });
  }
  companies.sort((a, b) => b.writes.length - a.writes.length);
  const known = companies.reduce((sum, { writes }) => sum + writes.length, 0);
  return {
    replaced: verification.replaced,
    verification,
    losses,
    companies,
    ofUnknownCompanies: losses.lost.length - known,
  };
}

/** Opens the database, with what {@link readStake} has listed. Throws where it has changed since. */
export async function verify(
  context: OperatorContext,
  stake: Stake,
  statement: Statement,
): Promise<readonly LostWrite[]> {
  const { pool, client } = dependenciesOf(context);
  const { unreadable } = stake.losses;
  if (unreadable.length > 0 && client.options.loadedDataConverter.payloadCodecs.length === 0) {
    // What they contained would not be marked, and each key would be made again.
    throw new Error(`${unreadable.length} runs cannot be read without the processes' PAYLOAD_KEYS: set them.`);
  }
  const marked = await openVerified({ pool, operations: OPERATIONS }, stake.verification, stake.losses, statement);
  if (marked !== undefined) return marked;
  throw new Error(
    'The database has changed since its losses were listed, or someone else has verified it. Run it again.',
  );
}

/** Lets the database open by itself if nothing is missing, as the processes do. */
export async function continueIfNothingIsMissing(
  context: OperatorContext,
  { awaitsSurvivors = true } = {},
): Promise<Verification> {
  const { pool, client, target } = dependenciesOf(context);
  const verification = await readVerification(pool);
  if (verification.isStandby) throw new Error('This database is a standby. Connect to the primary.');
  if (verification.replaced !== null || verification.incarnation === verification.live) return verification;
  const end = await reconcile(
    {
      pool,
      runs: createNamedRuns(client, target),
      process: 'npm run write -- verify',
      awaitsSurvivors,
      retentionMs: () => retentionMs(client),
    },
    verification,
  );
  if (end.kind !== 'left') return readVerification(pool);
  const deadline = performance.now() + OTHERS_LIMIT_MS;
  for (;;) {
    const now = await readVerification(pool);
    if (now.replaced !== null || now.incarnation === now.live) return now;
    if (performance.now() > deadline) {
      throw new Error('The processes are still verifying the database by themselves. Run this again in a minute.');
    }
    await sleep(OTHERS_POLL_MS);
  }
}

/** How long the processes may take that are verifying it already. */
const OTHERS_LIMIT_MS = 60_000;
const OTHERS_POLL_MS = 500;

/**
 * Compares the runs of keys with their rows at once, where Temporal lists a run as soon as it has completed and no process
 * is at work: groups need not wait for a minute.
 */
export async function compareKeyRunsNow(context: OperatorContext): Promise<void> {
  const { pool, client, target } = dependenciesOf(context);
  const verification = await readVerification(pool);
  const { keyRunsSince: since } = verification;
  if (since === null) return;
  const runs = createNamedRuns(client, target);
  const { taskQueue } = target;
  await compareKeyRuns({ client, runs, pool, writes: pool, taskQueue, operations: OPERATIONS, verification, since });
}

function dependenciesOf({ database, temporal, taskQueue }: OperatorContext) {
  if ('unavailable' in temporal) {
    throw new Error(`${temporal.unavailable} What is missing can only be found with Temporal. Nothing was changed.`);
  }
  return { pool: database.reads, client: temporal, target: { taskQueue } };
}

function sumsOf(writes: readonly LostWrite[]): Pick<CompanyStake, 'numbers' | 'amounts'> {
  const amounts: Record<string, bigint> = {};
  const numbers: Partial<Record<NumberKind, number>> = {};
  for (const { args } of writes) {
    const kind = OPERATIONS.find(({ name }) => name === args.operation)?.takesNumber;
    if (kind !== undefined) numbers[kind] = (numbers[kind] ?? 0) + 1;
    const { amount, currency } = args.input.body;
    if (!Number.isSafeInteger(amount) || typeof currency !== 'string') continue;
    amounts[currency] = (amounts[currency] ?? 0n) + BigInt(amount as number);
  }
  return { numbers, amounts };
}
