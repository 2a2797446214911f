import type { ArchiveManifest } from '../../../activities/audit/archive-file.ts';
import { idOf, nameOf, type RowSeal } from '../../../activities/audit/archive-seal.ts';
import { ArchiveDiffers } from '../../../activities/audit/archived-heads.ts';
import { type VerifiedSeal, type VerifyOptions, verifySeal } from '../../../activities/audit/verify-seal.ts';
import type { Pool, Tx } from '../../../activities/database.ts';
import type { Archive } from './list.ts';

type Options = Pick<VerifyOptions, 'keys' | 'outside'>;
/** Runs a transaction as one of the two roles that may compare lines of an archive with the seal. */
type As = <T>(pool: Pool, work: (tx: Tx) => Promise<T>) => Promise<T>;
type ArchivedFiles = { readonly folder: string; readonly manifest: ArchiveManifest; readonly archive: Archive };
type Compared = {
  readonly number: bigint | null;
  readonly leaf: string | null;
  readonly state: 'sealed' | 'unsealed' | 'altered' | 'erased';
};

/**
 * Verifies the files of a month by themselves and, with the salts that the database has, their contents; and that they have the
 * numbers and leaves of the database, and no more rows without a seal than when the month was archived. Throws
 * {@link ArchiveDiffers} for the first row that differs. `known` counts the rows that the database has sealed, by company.
 */
export async function checkSeal(
  { pool, as }: { readonly pool: Pool; readonly as: As },
  { folder, manifest, archive }: ArchivedFiles,
  options: Options = {},
): Promise<VerifiedSeal & { readonly known: ReadonlyMap<string, number> }> {
  const known = new Map<string, number>();
  const unsealed: { rows: number; first?: RowSeal } = { rows: 0 };
  const verified = await verifySeal(folder, manifest, {
    ...options,
    async onPage(lines, seals) {
      const found = await as(pool, (tx) =>
        tx.query<Compared>('SELECT * FROM check_audit_lines($1, $2)', [
          lines.map((line) => line.toString('utf8')),
          lines.map((_, i) => seals?.[i]?.salted?.['answer'] ?? null),
        ]),
      );
      for (const [i, compared] of found.entries()) {
        const row = rowOf(lines[i] as Buffer, compared);
        requireSame(row, compared, seals?.[i]);
        if (row.number !== undefined) known.set(row.company, (known.get(row.company) ?? 0) + 1);
        else {
          unsealed.rows += 1;
          unsealed.first ??= row;
        }
      }
      if (unsealed.rows > (archive.unsealed ?? archive.rows)) {
        const { id, company } = unsealed.first ?? {};
        throw new ArchiveDiffers(`row ${id} of company ${company} is not sealed, and was not in the log`);
      }
    },
  });
  return { ...verified, known };
}

/** `seal` is undefined where the archive has none. */
function requireSame(row: RowSeal, { number, leaf, state }: Compared, seal: RowSeal | undefined): void {
  if (state === 'altered') throw new ArchiveDiffers(`${nameOf(row)} is not what was sealed`);
  if (seal === undefined) return;
  const isSame = seal.number === undefined ? number === null : number === BigInt(seal.number) && leaf === seal.leaf;
  if (!isSame) throw new ArchiveDiffers(`${nameOf(seal)} is not sealed as the archive has it`);
}

function rowOf(line: Buffer, { number }: Compared): RowSeal & { readonly company: string } {
  const { company_id: company } = JSON.parse(line.toString('utf8')) as { company_id: string };
  return { id: idOf(line), company, ...(number === null ? {} : { number: Number(number) }) };
}
