import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import type { AuditCheck } from '../../../activities/auditor/check.ts';
import {
  compareOutsideHeads,
  type OutsideHead,
  type OutsideHeads,
  type OutsideOptions,
} from '../../../activities/auditor/outside-heads.ts';
import type { SealKeys } from '../../../activities/seal/published-head.ts';
import { outsideHeadsOf, readKeys } from '../audit-export/verify.mjs';

/** A file of heads that somebody has collected, and how many are in how many lines. */
export type HeadFile = {
  readonly path: string;
  readonly lines: number;
  readonly heads: number;
  /** Of the heads. */
  readonly sha256: string;
};

/** A file that cannot be read, or has nothing to compare with. */
class UnusableFile extends Error {}

const HEADS_A_PAGE = 1_000;

/** Reads the files once, so that nothing is asked where one of them is unusable. */
export async function lookAtHeads(paths: readonly string[]): Promise<readonly HeadFile[]> {
  const files: HeadFile[] = [];
  for (const path of paths) {
    const told = { lines: 0, heads: 0 };
    const digest = createHash('sha256');
    try {
      for await (const { published } of outsideHeadsOf(path, told)) digest.update(JSON.stringify(published));
    } catch (error) {
      throw new UnusableFile((error as Error).message);
    }
    files.push({ path, ...told, sha256: digest.digest('hex') });
  }
  return files;
}

export type KeptKeys = { readonly keys: SealKeys; readonly sha256: string };

/** A JWK set, as `GET /.well-known/accubooks-seal-keys.json` gives it. */
export function keptKeys(path: string): KeptKeys {
  try {
    const keys = new Map([...readKeys(path)].map(([id, { publicKey }]) => [id, publicKey]));
    if (keys.size > 0) return { keys, sha256: createHash('sha256').update(readFileSync(path)).digest('hex') };
  } catch (error) {
    throw new UnusableFile(`The keys in ${path} cannot be read: ${(error as Error).message}`);
  }
  throw new UnusableFile(`There is no key in ${path}: it has to be a JWK set of Ed25519 keys.`);
}

/** Compares the heads of the files with the database. */
export function keptHeadsCheck(files: readonly HeadFile[], options: OutsideOptions): AuditCheck {
  return {
    name: 'kept-heads',
    reads: 'the seal at the heads of the files',
    each: 'everything',
    run: (part, context) => compareOutsideHeads(pagesOf(files), part, context, options),
  };
}

async function* pagesOf(files: readonly HeadFile[]): AsyncGenerator<OutsideHeads> {
  let heads: OutsideHead[] = [];
  for (const { path } of files) {
    for await (const { published, line } of outsideHeadsOf(path)) {
      heads.push({ ...published, source: `${basename(path)}, line ${line}` });
      if (heads.length < HEADS_A_PAGE) continue;
      yield { heads };
      heads = [];
    }
  }
  yield { heads };
}
