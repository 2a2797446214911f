import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cpSync, existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { SealedLog } from '../../activities/seal/content.ts';
import { leafOf, NO_DIGEST, nextInChain, rootOf } from '../../activities/seal/digests.ts';
import type { SigningKey } from '../../activities/seal/signing-key.ts';
import { signHead } from './seals.ts';

const run = promisify(execFile);
const SECOND_VERIFIER = join(import.meta.dirname, 'verify_seal.py');

export type Row = { number: number; id: string; leaf: string; content: string | null; archived?: true };
type Batch = { first: number; last: number; head: string; root: string; epoch: number };
type Published = { head: string; keyId: string; signature: string; timeStamp?: string };
/** One log of a bundle, as whoever has it may change it. */
export type BundleLog = { rows: Row[]; batches: Batch[]; heads: Published[] };

// biome-ignore lint/suspicious/noExplicitAny: whoever changes it says what it expects of it
export type Manifest = any;

/** A copy of a bundle. */
export function copyBundle(from: string, to: string): string {
  cpSync(from, to, { recursive: true });
  return to;
}

/** Changes a log of a bundle, and writes the manifest that such a bundle would have. */
export function editLog(
  folder: string,
  { companyId, log }: { readonly companyId: string; readonly log: SealedLog },
  edit: (log: BundleLog, manifest: Manifest) => void,
): void {
  const file = (name: string) => join(folder, companyId, log, `${name}.ndjson`);
  const read = (name: string) =>
    readFileSync(file(name), 'utf8')
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line));
  const of: BundleLog = { rows: read('rows-00001'), batches: read('batches'), heads: read('heads') };
  editManifest(folder, (manifest) => {
    edit(of, manifest);
    const told = manifest.companies.find(({ id }: { id: string }) => id === companyId)?.logs[log];
    if (told !== undefined) told.last = of.batches.at(-1)?.last ?? 0;
    for (const [name, lines] of Object.entries({ 'rows-00001': of.rows, batches: of.batches, heads: of.heads })) {
      writeFileSync(file(name), lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
    }
  });
}

/** With the sizes and digests that the files then have. */
export function editManifest(folder: string, edit: (manifest: Manifest) => void): void {
  const path = join(folder, 'manifest.json');
  const manifest = JSON.parse(readFileSync(path, 'utf8'));
  edit(manifest);
  for (const file of manifest.files) {
    const content = readFileSync(join(folder, file.path));
    file.bytes = content.length;
    file.sha256 = createHash('sha256').update(content).digest('hex');
  }
  writeFileSync(path, JSON.stringify(manifest));
}

/** A company, with its files, as if it had never been in the bundle. */
export function removeCompany(folder: string, companyId: string): void {
  rmSync(join(folder, companyId), { recursive: true });
  editManifest(folder, (manifest) => {
    manifest.companies = manifest.companies.filter(({ id }: { id: string }) => id !== companyId);
    manifest.files = manifest.files.filter(({ path }: { path: string }) => !path.startsWith(companyId));
  });
}

/** What an owner of the database does who wants no trace: leaves, chain, trees and heads anew, signed with the key. */
export function sealAnew({ rows, batches, heads }: BundleLog, key: SigningKey): void {
  let chain = NO_DIGEST;
  let before: string | undefined;
  let roots: Buffer[] = [];
  let nextHead = 0;
  for (const row of rows) row.leaf = leafOf(row.content ?? '').toString('hex');
  for (const batch of batches) {
    const own = rows.filter(({ number }) => number >= batch.first && number <= batch.last);
    const leaves = own.map(({ leaf }) => Buffer.from(leaf, 'hex'));
    for (const [i, leaf] of leaves.entries()) chain = nextInChain(chain, BigInt(batch.first + i), leaf);
    batch.head = chain.toString('hex');
    batch.root = rootOf(leaves).toString('hex');
    roots.push(Buffer.from(batch.root, 'hex'));
    const published = heads[nextHead];
    if (published === undefined || JSON.parse(published.head).number !== batch.last) continue;
    const previous = before === undefined ? '0'.repeat(64) : createHash('sha256').update(before).digest('hex');
    const head = { ...JSON.parse(published.head), digest: batch.head, root: rootOf(roots).toString('hex'), previous };
    const signed = signHead(head, key);
    heads[nextHead] = signed;
    [before, roots, nextHead] = [signed.head, [], nextHead + 1];
  }
}

/** Changes the text of a row, which stays canonical JSON. */
// biome-ignore lint/suspicious/noExplicitAny: a content has many members
export function editContent(row: Row | undefined, edit: (content: any) => void): void {
  if (row?.content == null) throw new Error('There is no content');
  const content = JSON.parse(row.content);
  edit(content);
  row.content = JSON.stringify(content);
}

type Difference = {
  readonly kind: string;
  readonly companyId: string;
  readonly log: string;
  readonly number: number;
  readonly id: string | null;
};
export type Verified = {
  readonly code: number;
  readonly differences: readonly Difference[] | undefined;
  /** Heads of rows that a restore has taken, and by which epoch. */
  readonly explained: readonly object[] | undefined;
  /** Heads from outside that were not compared, and why. */
  readonly notCompared?: readonly object[] | undefined;
  /** Heads from outside that agree, and are none of the bundle. */
  readonly unlisted?: readonly object[] | undefined;
  /** What is printed, or why it was refused. */
  readonly told: string;
};

/** Mostly paths of files. Only the second verifier reads the `example` of docs/seal-format.md. */
export type VerifierOptions = {
  readonly heads?: string;
  readonly keys?: string;
  readonly proof?: string;
  readonly 'time-stamps'?: string;
  readonly example?: string;
  readonly 'as-of'?: string;
  readonly company?: string;
  readonly 'accept-epoch'?: string;
};

/** By the verifier of the bundle, or with `proof` by that of the bundle in the folder. */
export function verify(folder: string, options: VerifierOptions = {}): Promise<Verified> {
  return verifiedBy(process.execPath, [join(folder, 'verify.mjs'), '--json', ...flags(options)]);
}

/** What it prints for people. */
export async function verifiedText(folder: string, options: VerifierOptions = {}): Promise<string> {
  return (await verifiedBy(process.execPath, [join(folder, 'verify.mjs'), ...flags(options)])).told;
}

/** By the second implementation. */
export function verifyInPython(folder: string, options: VerifierOptions = {}): Promise<Verified> {
  return verifiedBy('python3', [
    SECOND_VERIFIER,
    ...flags(options),
    ...('proof' in options || 'example' in options ? [] : [folder]),
  ]);
}

/** Why there is no Python that can run it; undefined if there is one. */
export async function pythonMissing(): Promise<string | undefined> {
  const newEnough = "import sys; sys.version_info >= (3, 11) or sys.exit('Python 3.11 or newer is needed')";
  return run('python3', ['-c', newEnough]).then(
    () => undefined,
    (error: Error) => error.message,
  );
}

function flags(options: VerifierOptions): string[] {
  return Object.entries(options).flatMap(([name, path]) => [`--${name}`, path]);
}

async function verifiedBy(program: string, args: readonly string[]): Promise<Verified> {
  const { code, stdout, stderr } = await run(program, args).then(
    ({ stdout, stderr }) => ({ code: 0, stdout, stderr }),
    (error: { code: number; stdout: string; stderr: string }) => error,
  );
  const { differences, explained, notCompared, unlisted }: Partial<Verified> = stdout.startsWith('{')
    ? JSON.parse(stdout)
    : {};
  return { code, differences, explained, notCompared, unlisted, told: stdout + stderr };
}

/** Each file of a folder, with its access rights. */
export function modesOf(folder: string): Record<string, number> {
  const names = existsSync(folder) ? readdirSync(folder, { recursive: true, encoding: 'utf8' }) : [];
  return Object.fromEntries(names.map((name) => [name, statSync(join(folder, name)).mode & 0o777]));
}
