import { randomBytes } from 'node:crypto';
import { statfsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { brokenControls } from '../../../../activities/controls/controls.ts';
import { withDatabase } from '../../../cli/command.ts';
import { type Servers, startServers } from '../servers.ts';
import { writeBundle } from '../session.ts';
import { INVOICES_A_COMPANY, type Size } from './books.ts';
import type { Filled } from './fill.ts';
import { measurePairs, type Pairs, type Sides } from './pairs.ts';
import { readCounters, type Scans, scansBetween } from './scans.ts';
import { DRAWN_COMPANIES, openSide, type Side } from './side.ts';
import { type BytesPerKey, growthPerKey, readSizes } from './sizes.ts';
import { warmIndexes } from './warm.ts';

export type GrowthOptions = Size & { readonly seconds: number; readonly pairs: number };

export type GrowthResult = {
  readonly options: GrowthOptions;
  /** While both databases were small: by how much two equal ones differ here. */
  readonly before: Pairs;
  /** One is filled. */
  readonly after: Pairs;
  readonly filling: Filled;
  /** Of all indexes of the filled database, read before the second measurement. */
  readonly indexBytes: number;
  readonly sizes: readonly BytesPerKey[];
  readonly scans: readonly Scans[];
  readonly errors: Readonly<Record<string, Readonly<Record<string, number>>>>;
  readonly violations: readonly string[];
};

type Log = (line: string) => void;

/** What both databases have before the measurement: almost nothing, but rows to read for each case. */
const SMALL: Size = { companies: DRAWN_COMPANIES, keys: DRAWN_COMPANIES * 100 };
/** Measured: tables and indexes, and what an index needs while it is built. */
const DISK_BYTES_PER_KEY = 4_500;
/** The log, two small databases and Temporal. */
const DISK_BYTES = 4e9;

/** Measures the write path on two equal databases of one server, fills one of them, and measures both again. */
export async function measureGrowth(options: GrowthOptions, signal: AbortSignal, log: Log): Promise<GrowthResult> {
  requireDiskSpace(options.keys);
  log('Starting separate PostgreSQL and Temporal servers');
  const servers = await startServers(log);
  const stops = [() => servers.stop()];
  try {
    const shared = {
      servers,
      signal,
      secret: randomBytes(32).toString('hex'),
      bundle: await writeBundle(servers.folder),
    };
    const small = await openSide('small', servers.database, shared);
    stops.push(small.stop);
    const filled = await openSide('filled', await servers.anotherDatabase('accubooks_filled'), shared);
    stops.push(filled.stop);
    return await compare(options, { small, filled }, servers, signal, log);
  } finally {
    for (const stop of stops.reverse()) await stop();
  }
}

async function compare(
  options: GrowthOptions,
  sides: Sides,
  servers: Servers,
  signal: AbortSignal,
  log: Log,
): Promise<GrowthResult> {
  const { filled } = sides;
  log('Filling both databases with a little');
  const before = await withApis(sides, async () => {
    for (const side of [sides.small, filled]) await side.fill(SMALL, () => undefined);
    return measurePairs(sides, { ...options, signal }, log);
  });

  const sizesBefore = await readSizes(filled.owner);
  const filling = await filled.fill(options, log);
  const sizes = growthPerKey(sizesBefore, await readSizes(filled.owner), options.keys);
  const broken = await brokenBooks(filled);
  log('CHECKPOINT');
  await withDatabase(servers.superuserUrl, (superuser) => superuser.query('CHECKPOINT'));
  log('Reading the indexes into memory');
  const indexBytes = await warmIndexes(withName(servers.superuserUrl, filled.database.databaseUrl));

  const countersBefore = await readCounters(filled.owner);
  const after = await withApis(sides, () => measurePairs(sides, { ...options, signal }, log));
  const scans = scansBetween(countersBefore, await readCounters(filled.owner));
  log('Checking the answers in the databases');
  return {
    options,
    before,
    after,
    filling,
    indexBytes,
    sizes,
    scans,
    errors: { small: sides.small.errors, filled: filled.errors },
    violations: [
      ...broken,
      ...scans.filter(({ sequential }) => sequential > 0).map(({ table }) => `${table} was read from end to end`),
      ...(await sides.small.violations()),
      ...(await filled.violations()),
    ],
  };
}

/** Both APIs are new in each measurement, and what their sessions have read is counted when they have ended. */
async function withApis<T>(sides: Sides, work: () => Promise<T>): Promise<T> {
  const both = [sides.small, sides.filled];
  try {
    for (const side of both) await side.startApi();
    return await work();
  } finally {
    for (const side of both) await side.stopApi();
  }
}

/** The controls of the books that do not hold in companies drawn by chance, each read alone and as itself, by its indexes. */
async function brokenBooks({ owner, draw }: Side): Promise<string[]> {
  const names: string[] = [];
  for (const { companyId } of await draw()) {
    await owner.query('BEGIN READ ONLY');
    await owner.query('SELECT enter_company($1)', [companyId]);
    names.push(...Object.keys(await brokenControls(owner)));
    await owner.query('ROLLBACK');
  }
  return [...new Set(names)].map((name) => `the control ${name} does not hold after the filling`);
}

function withName(superuserUrl: string, databaseUrl: string): string {
  const url = new URL(superuserUrl);
  url.pathname = new URL(databaseUrl).pathname;
  return url.href;
}

export function refuseImpossibleSize({ companies, keys }: Size): void {
  if (keys < companies * INVOICES_A_COMPANY) {
    throw new Error(
      `--keys must be at least ${INVOICES_A_COMPANY} times --companies: each company has as many invoices.`,
    );
  }
}

function requireDiskSpace(keys: number): void {
  const needed = DISK_BYTES + keys * DISK_BYTES_PER_KEY;
  const { bavail, bsize } = statfsSync(tmpdir());
  if (bavail * bsize >= needed) return;
  const gigabytes = (bytes: number) => Math.ceil(bytes / 1e9);
  throw new Error(
    `${keys.toLocaleString('en')} keys need about ${gigabytes(needed)} GB in ${tmpdir()}, which has ${gigabytes(bavail * bsize)} GB ` +
      'left. Set TMPDIR to a folder on a larger disk, or give fewer --keys.',
  );
}
