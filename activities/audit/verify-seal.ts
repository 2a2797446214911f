import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { join } from 'node:path';
import { type ArchiveManifest, readPages } from './archive-file.ts';
import { type ArchivedPart, type NeighbourSeal, nameOf, type RowSeal, requireRow } from './archive-seal.ts';
import { type ArchivedChains, followChains } from './archived-chains.ts';
import { ArchiveDiffers, type KnownKeys, knownKeys, type OutsideHeads } from './archived-heads.ts';

/** Compares the files of an archived month with their seal: each row with its leaf, the leaves with the chains and their heads. */

export type VerifiedSeal = {
  /** Rows whose leaf was computed. */
  readonly sealed: number;
  /** Rows that nobody had sealed. */
  readonly unsealed: number;
  /** Rows of which only the leaf is known: their writes were erased while the month was in the archive before. */
  readonly erased: number;
  /** Parts of chains to whose end no head was published. */
  readonly withoutHead: readonly ArchivedPart[];
  /** Heads from outside that are on the chains. */
  readonly agreed: number;
};

export type VerifyOptions = {
  /** As the reader has kept them; else those of the archive. */
  readonly keys?: KnownKeys | undefined;
  readonly outside?: OutsideHeads | undefined;
  /** Compares lines with something else as well. `seals` are undefined where the archive has none. */
  readonly onPage?: (lines: readonly Buffer[], seals: readonly RowSeal[] | undefined) => Promise<void>;
};

const ROWS_A_PAGE = 2_000;

/** Throws {@link ArchiveDiffers} for the first row that is not what was sealed. */
export async function verifySeal(
  folder: string,
  manifest: ArchiveManifest,
  { keys, outside = new Map(), onPage = async () => undefined }: VerifyOptions = {},
): Promise<VerifiedSeal> {
  const { seal } = manifest;
  const found = { sealed: 0, unsealed: 0, erased: 0 };
  if (seal === undefined) {
    for await (const lines of rowsOf(folder, manifest)) {
      await onPage(lines, undefined);
      found.unsealed += lines.length;
    }
    return { ...found, withoutHead: [], agreed: 0 };
  }
  await requireWhole(join(folder, seal.file), seal.sha256);
  const chains = followChains(seal.parts, { keys: keys ?? knownKeys({ keys: seal.keys }), outside });
  const seals = sealsOf(join(folder, seal.file), chains);
  for await (const lines of rowsOf(folder, manifest)) {
    const ofLines: RowSeal[] = [];
    for (const line of lines) {
      const next = await seals.next();
      if (next.done === true) throw new ArchiveDiffers('there are more rows than were archived');
      requireRow(line, next.value);
      ofLines.push(next.value);
      found[kindOf(next.value)] += 1;
    }
    await onPage(lines, ofLines);
  }
  const rest = await seals.next();
  if (rest.done !== true) throw new ArchiveDiffers(`${nameOf(rest.value)} is missing`);
  return { ...found, ...chains.end() };
}

function kindOf({ number, salted }: RowSeal): 'sealed' | 'unsealed' | 'erased' {
  if (number === undefined) return 'unsealed';
  return salted === undefined ? 'erased' : 'sealed';
}

async function* rowsOf(folder: string, { file }: ArchiveManifest): AsyncGenerator<readonly Buffer[]> {
  let rows: Buffer[] = [];
  for await (const page of readPages(join(folder, file))) {
    rows.push(...page);
    if (rows.length < ROWS_A_PAGE) continue;
    yield rows;
    rows = [];
  }
  if (rows.length > 0) yield rows;
}

/** The seals of the rows; whatever has a number goes to the chains. */
async function* sealsOf(path: string, chains: ArchivedChains): AsyncGenerator<RowSeal> {
  for await (const page of readPages(path)) {
    for (const line of page) {
      const seal = JSON.parse(line.toString('utf8')) as RowSeal | NeighbourSeal;
      if (seal.company !== undefined && seal.number !== undefined && seal.leaf !== undefined) {
        chains.take(seal.company, seal.number, seal.leaf);
      }
      if ('id' in seal) yield seal;
    }
  }
}

async function requireWhole(path: string, sha256: string): Promise<void> {
  const file = createHash('sha256');
  for await (const chunk of createReadStream(path)) file.update(chunk as Buffer);
  if (file.digest('hex') !== sha256) throw new Error(`${path} is not the file that the manifest names.`);
}
