import { createHash } from 'node:crypto';
import { writeId } from '../../activities/identity.ts';
import {
  auditContent,
  canonicalJson,
  entryContent,
  type SealedAuditRow,
  type SealedEntry,
  type SealedLine,
} from '../../activities/seal/content.ts';
import {
  type Digest,
  leafOf,
  NO_DIGEST,
  nextInChain,
  type PathNode,
  pathTo,
  rootOf,
} from '../../activities/seal/digests.ts';
import { jwkOf, signingKey } from '../../activities/seal/signing-key.ts';

/** The example of docs/seal-format.md: rows that never were, with salts and a key that everyone knows. */

const COMPANY = '0b6e3f2c-5d1a-4c8e-9a77-3f1d2c4b5a60';
const USER = '5f0c8a4e-1b2d-4e3f-8a6b-7c9d0e1f2a3b';
/** Of the first test of RFC 8032, section 7.1. */
const SECRET = '9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60';
const KEY_OF_RENT = 'rent-2026-03';
const KEY_ID = 'example';
const KEY = signingKey().parse(`${KEY_ID}:${Buffer.from(SECRET, 'hex').toString('base64')}`);

const ENTRIES: readonly SealedEntry[] = [
  entry({
    entryId: '11111111-1111-4111-8111-111111111111',
    writeId: writeId(COMPANY, 'createJournalEntry', 'capital'),
    description: 'Capital paid in',
    postedAt: '2026-03-01T09:30:00.000000Z',
    requestId: 'example-1',
    lines: [line('1000', 'asset', '500000', null), line('3000', 'equity', '-500000', null)],
  }),
  entry({
    entryId: '22222222-2222-4222-8222-222222222222',
    writeId: writeId(COMPANY, 'createJournalEntry', KEY_OF_RENT),
    description: 'Miete März “Büro” \u2028 50 €',
    metadata: { room: '12', floor: 3 },
    postedAt: '2026-03-02T10:00:00.123456Z',
    requestId: 'example-2',
    lines: [line('6100', 'expense', '120000', 'March\t2026'), line('1000', 'asset', '-120000', null)],
  }),
  ...['33333333', '44444444', '55555555'].map((id, i) =>
    entry({
      entryId: `${id}-3333-4333-8333-333333333333`,
      writeId: writeId(COMPANY, 'createJournalEntry', `fee-${i + 1}`),
      description: '',
      postedAt: `2026-03-02T10:0${i + 1}:00.000000Z`,
      requestId: `example-${i + 3}`,
      lines: [line('6100', 'expense', '5', null), line('1000', 'asset', '-5', null)],
    }),
  ),
];

/** The numbers of the entries that are sealed together; the first head covers all but the last of these batches. */
const BATCHES = [
  { first: 1, last: 3 },
  { first: 4, last: 4 },
  { first: 5, last: 5 },
] as const;
const COVERED_BATCHES = 2;

const AUDIT_ROW: SealedAuditRow = {
  companyId: COMPANY,
  id: '7',
  timestamp: '2026-03-02T10:00:00.130000Z',
  operation: 'createJournalEntry',
  type: 'financial',
  writeId: writeId(COMPANY, 'createJournalEntry', KEY_OF_RENT),
  idempotencyKey: KEY_OF_RENT,
  userId: USER,
  status: 'new',
  errorCode: null,
  errorMessage: null,
  executionDurationMs: '12.5',
  requestId: 'example-2',
  routePath: '/api/ledger/entries',
  httpMethod: 'POST',
  workflowsTriggered: 0,
  sideEffectsExecuted: 1,
  metadata: null,
  request: 'b'.repeat(64),
  answer: 'a'.repeat(64),
};

function entry(members: Partial<SealedEntry> & Pick<SealedEntry, 'entryId' | 'lines'>): SealedEntry {
  return {
    companyId: COMPANY,
    writeId: '',
    operation: 'createJournalEntry',
    date: '2026-03-01',
    description: '',
    reverses: null,
    metadata: null,
    postedAt: '',
    postedBy: USER,
    approvedBy: null,
    requestId: '',
    request: 'b'.repeat(64),
    answer: 'a'.repeat(64),
    ...members,
    lines: members.lines.map((one, i) => ({
      ...one,
      lineNumber: i + 1,
      id: members.entryId.replace(/.$/, `${i + 2}`),
    })),
  };
}

function line(accountCode: string, accountType: string, amount: string, memo: string | null): SealedLine {
  const accountId = `00000000-0000-4000-8000-00000000${accountCode}`;
  return { id: '', lineNumber: 0, accountId, accountCode, accountType, amount, currency: 'EUR', memo };
}

/** As JSON in a block of code. */
export function sealExample(): string {
  // The page stays one of plain lines: as JSON it is the same.
  const json = JSON.stringify(example(), null, 2).replaceAll('\u2028', '\\u2028');
  return ['```json', json, '```'].join('\n');
}

function example(): object {
  const entries = ENTRIES.map((one, i) => sealed(one, salt(i + 1), entryContent(one, salt(i + 1))));
  const audit = sealed(AUDIT_ROW, salt(9), auditContent(AUDIT_ROW, salt(9)));
  const journalRows = chained(entries);
  const [auditRow] = chained([audit]);
  const leavesOf = ({ first, last }: { first: number; last: number }) =>
    entries.slice(first - 1, last).map(({ leaf }) => leaf);
  const roots = BATCHES.map((batch) => rootOf(leavesOf(batch)));
  const chainAt = (number: number) => journalRows[number - 1]?.chain ?? '';
  const covered = roots.slice(0, COVERED_BATCHES);
  const first = signed({ log: 'journal', position: 1, number: 4, digest: chainAt(4), root: rootOf(covered) });
  const second = {
    log: 'journal',
    position: 2,
    number: 5,
    digest: chainAt(5),
    root: rootOf(roots.slice(COVERED_BATCHES)),
  };
  const auditHead = signed({ log: 'audit', position: 1, number: 1, digest: auditRow?.chain ?? '', root: audit.leaf });
  const shown = (path: readonly PathNode[]) =>
    path.map(({ side, digest }) => ({ side, digest: digest.toString('hex') }));
  const proven = (log: string, number: number, row: Shown | undefined, paths: object, head: object) => ({
    ...{ log, number, content: row?.content, leaf: row?.leaf, ...paths, head },
  });
  const pathsOfRent = { path: shown(pathTo(1, leavesOf(BATCHES[0]))), batchPath: shown(pathTo(0, covered)) };
  return {
    key: { secret: SECRET, public: KEY.publicKey.toString('hex') },
    keys: { keys: [jwkOf(KEY_ID, KEY.publicKey)] },
    journal: journalRows,
    audit: [auditRow],
    journalBatches: BATCHES.map((batch, i) => ({
      ...{ ...batch, head: chainAt(batch.last), root: roots[i]?.toString('hex'), epoch: 1 },
    })),
    journalHeads: [first, signed(second, first)],
    proof: {
      companyId: COMPANY,
      key: AUDIT_ROW.idempotencyKey,
      writeId: AUDIT_ROW.writeId,
      rows: [
        proven('journal', 2, journalRows[1], pathsOfRent, first),
        proven('audit', 1, auditRow, { path: [], batchPath: [] }, auditHead),
      ],
      missing: [],
    },
  };
}

type Sealed = { readonly salt: Buffer; readonly salted: object; readonly content: string; readonly leaf: Digest };
type Shown = { readonly content: string; readonly leaf: string; readonly chain: string };

function sealed(row: SealedEntry | SealedAuditRow, rowSalt: Buffer, content: string): Sealed {
  return { salt: rowSalt, salted: saltedOf(row), content, leaf: leafOf(content) };
}

/** The values of the members that are in the content as salted digests. */
function saltedOf(row: SealedEntry | SealedAuditRow): object {
  const { metadata, request, answer } = row;
  if (!('lines' in row)) return withoutNulls({ errorMessage: row.errorMessage, metadata, request, answer });
  const memos = row.lines.map(({ memo }, i) => [`lines.${i}.memo`, memo]);
  return withoutNulls({ description: row.description, metadata, request, answer, ...Object.fromEntries(memos) });
}

function withoutNulls(members: object): object {
  return Object.fromEntries(Object.entries(members).filter(([, value]) => value !== null));
}

function chained(
  rows: readonly Sealed[],
): (Shown & { readonly number: number; readonly salt: string; readonly salted: object })[] {
  let chain = NO_DIGEST;
  return rows.map(({ salt: rowSalt, salted, content, leaf }, i) => {
    chain = nextInChain(chain, BigInt(i + 1), leaf);
    const digests = { leaf: leaf.toString('hex'), chain: chain.toString('hex') };
    return { number: i + 1, salt: rowSalt.toString('hex'), salted, content, ...digests };
  });
}

function salt(first: number): Buffer {
  return Buffer.from(Array.from({ length: 16 }, (_, i) => (first * 16 + i) % 256));
}

type ToSign = {
  readonly log: string;
  readonly position: number;
  readonly number: number;
  readonly digest: string;
  readonly root: Digest;
};
type Published = { readonly head: string; readonly keyId: string; readonly signature: string };

function signed({ root, ...members }: ToSign, before?: Published): Published {
  const head = canonicalJson({
    version: 1,
    companyId: COMPANY,
    ...members,
    epoch: 1,
    root: root.toString('hex'),
    previous: before === undefined ? '0'.repeat(64) : createHash('sha256').update(before.head).digest('hex'),
    publishedAt: `2026-03-02T1${members.position}:00:00.000000Z`,
  });
  return { head, keyId: KEY_ID, signature: KEY.sign(head).toString('base64') };
}
