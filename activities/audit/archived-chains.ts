import { type Digest, NO_DIGEST, nextInChain } from '../seal/digests.ts';
import type { ArchivedPart } from './archive-seal.ts';
import { ArchiveDiffers, type HeadContext, type PublishedHead, placeOf, requireHead } from './archived-heads.ts';

/** The chains of an archive, which leaves are taken into one by one. */
export type ArchivedChains = {
  take(company: string, number: number, leaf: string): void;
  /** Throws where a number is missing, or a chain does not lead to where it ended. `agreed`: heads from outside. */
  end(): { readonly agreed: number; readonly withoutHead: readonly ArchivedPart[] };
};

/** Leaves come in the order of the rows' times, which is nearly that of the numbers. */
export function followChains(parts: readonly ArchivedPart[], context: HeadContext): ArchivedChains {
  const companies = new Map<string, ReturnType<typeof followPart>[]>();
  for (const part of parts) {
    const walks = companies.get(part.companyId) ?? [];
    companies.set(part.companyId, [...walks, followPart(part, context)]);
  }
  return {
    take(company, number, leaf) {
      const walk = companies.get(company)?.find(({ part }) => number >= part.first && number <= part.last);
      if (walk === undefined) {
        throw new ArchiveDiffers(
          `number ${number} of the audit log of company ${company} is in no part of the archive`,
        );
      }
      walk.take(number, Buffer.from(leaf, 'hex'));
    },
    end() {
      const walks = [...companies.values()].flat();
      return {
        agreed: walks.reduce((sum, walk) => sum + walk.end(), 0),
        withoutHead: parts.filter(({ after }) => after.head === null),
      };
    },
  };
}

function followPart(part: ArchivedPart, { keys, outside }: HeadContext) {
  const { companyId, first, last, before, after } = part;
  const differs = (what: string) =>
    new ArchiveDiffers(`the chain of company ${companyId}, numbers ${first} to ${last} of its audit log, ${what}`);
  /** Leaves that came before the one that is next. */
  const early = new Map<number, Digest>();
  let next = first;
  let digest: Digest = Buffer.from(before.digest, 'hex');
  let agreed = 0;
  const require = (head: PublishedHead, number: number) =>
    requireHead(head, { keys, companyId, number, digest: digest.toString('hex') });
  const compareOutside = (number: number) => {
    for (const head of outside.get(placeOf(companyId, number)) ?? []) {
      require(head, number);
      agreed += 1;
    }
  };
  if (first === 1 && !digest.equals(NO_DIGEST)) throw differs('does not begin with zeros');
  if (before.head !== null) require(before.head, first - 1);
  compareOutside(first - 1);
  return {
    part,
    take(number: number, leaf: Digest): void {
      if (number < next || early.has(number)) throw differs(`has number ${number} twice`);
      early.set(number, leaf);
      for (let known = early.get(next); known !== undefined; known = early.get(next)) {
        digest = nextInChain(digest, BigInt(next), known);
        early.delete(next);
        compareOutside(next);
        next += 1;
      }
    },
    /** How many heads from outside are on it. */
    end(): number {
      if (next !== last + 1) throw differs(`has no number ${next}: a row is missing`);
      if (digest.toString('hex') !== after.digest) {
        throw differs('does not lead to its end: a row was changed, exchanged or moved, and sealed anew');
      }
      if (after.head !== null) require(after.head, last);
      return agreed;
    },
  };
}
