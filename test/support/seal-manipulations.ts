import type { SealedLog } from '../../activities/seal/content.ts';
import { leafOf } from '../../activities/seal/digests.ts';
import type { SigningKey } from '../../activities/seal/signing-key.ts';
import { type BundleLog, editContent, type Row, sealAnew, type VerifierOptions } from './seal-bundles.ts';
import { sealKey } from './seals.ts';

/** What somebody may do to a log, and the row that is then named, by which check. */
export type Manipulation = {
  edit(log: BundleLog, known: Known): void;
  readonly kind: string;
  number(log: BundleLog, known: Known): number;
  /** What the reader has from elsewhere. */
  readonly has?: (keyof VerifierOptions)[];
  /** The journal, if it is left out. */
  readonly log?: SealedLog;
  /** A check that is not about one row, and names none. */
  readonly noRow?: true;
};

export type Known = {
  readonly key: SigningKey;
  readonly otherCompanyId: string;
  /** Numbers of the last rows that each head covers. */
  readonly covered: readonly number[];
};

/** The row to which most of it is done. */
const AT = 10;
const at = () => AT;

/** The first number of the batch with that row. */
function batchOf({ batches }: BundleLog): number {
  return batches.find(({ last }) => last >= AT)?.first ?? 0;
}

/** The number behind the last head from outside that still agrees, where the rows from {@link AT} on are others. */
export function behindAgreed(_: BundleLog, { covered }: Pick<Known, 'covered'>): number {
  return (covered.findLast((number) => number < AT) ?? 0) + 1;
}

export function rowOf(log: BundleLog): Row {
  return log.rows[AT - 1] as Row;
}

/** It still adds up. */
export function doubleAmounts(content: { lines: { amount: string }[] }): void {
  for (const line of content.lines) line.amount = String(2n * BigInt(line.amount));
}

const behindLastButOne = (_: BundleLog, { covered }: Known) => (covered.at(-2) ?? 0) + 1;
const first = () => 1;
const leafAnew = (row: Row) => {
  row.leaf = leafOf(row.content ?? '').toString('hex');
};

function cutBehind(log: BundleLog, { covered }: Known): void {
  const last = covered.at(-2) ?? 0;
  log.batches = log.batches.filter((batch) => batch.last <= last);
  log.rows = log.rows.filter(({ number }) => number <= last);
}

export const MANIPULATIONS: Readonly<Record<string, Manipulation>> = {
  'a time stamp of a later head': {
    edit({ heads }) {
      const [first, last] = [heads[0], heads.at(-1)];
      if (first !== undefined && last?.timeStamp !== undefined) first.timeStamp = last.timeStamp;
    },
    kind: 'head-time-stamp',
    number: () => 1,
  },
  'a time stamp that is none': {
    edit({ heads }) {
      const [first] = heads;
      if (first !== undefined) first.timeStamp = 'MAA=';
    },
    kind: 'head-time-stamp',
    number: () => 1,
  },
  'a row edited': { edit: (log) => editContent(rowOf(log), doubleAmounts), kind: 'row-altered', number: at },
  'a row edited, with its leaf': {
    edit(log) {
      editContent(rowOf(log), doubleAmounts);
      leafAnew(rowOf(log));
    },
    kind: 'chain-broken',
    number: batchOf,
  },
  'a row without a content at all': {
    edit: (log) => Reflect.deleteProperty(rowOf(log), 'content'),
    kind: 'row-missing',
    number: at,
  },
  'a row backdated': {
    edit(log) {
      editContent(rowOf(log), (content) => {
        content.date = '2025-12-31';
      });
    },
    kind: 'row-altered',
    number: at,
  },
  'a row deleted': { edit: ({ rows }) => rows.splice(AT - 1, 1), kind: 'row-order', number: at, noRow: true },
  'a row deleted from the books, and not from the seal': {
    edit(log) {
      rowOf(log).content = null;
    },
    kind: 'row-missing',
    number: at,
  },
  'a row deleted, and the others numbered anew': {
    edit({ rows, batches }) {
      rows.splice(AT - 1, 1);
      for (const [i, row] of rows.entries()) row.number = i + 1;
      const last = batches.at(-1);
      if (last !== undefined) last.last -= 1;
    },
    kind: 'chain-broken',
    number: batchOf,
  },
  'a row inserted': {
    edit: (log) => log.rows.splice(AT, 0, { ...rowOf(log) }),
    kind: 'row-order',
    number: () => AT + 1,
    noRow: true,
  },
  'a row inserted at the end': {
    edit: (log) => log.rows.push({ ...rowOf(log), number: log.rows.length + 1 }),
    kind: 'row-order',
    number: ({ rows }) => rows.length + 1,
    noRow: true,
  },
  'two rows swapped': {
    edit(log) {
      const i = batchOf(log);
      const [one, two] = log.rows.slice(i, i + 2) as [Row, Row];
      log.rows.splice(i, 2, { ...two, number: one.number }, { ...one, number: two.number });
    },
    kind: 'chain-broken',
    number: batchOf,
  },
  'a number changed': {
    edit(log) {
      rowOf(log).number = 99;
    },
    kind: 'row-order',
    number: at,
  },
  'a row of another company': {
    edit(log, { otherCompanyId }) {
      editContent(rowOf(log), (content) => {
        content.companyId = otherCompanyId;
      });
      leafAnew(rowOf(log));
    },
    kind: 'row-foreign',
    number: at,
  },
  'a row that is not canonical JSON': {
    edit(log) {
      rowOf(log).content = ` ${rowOf(log).content}`;
      leafAnew(rowOf(log));
    },
    kind: 'row-altered',
    number: at,
  },
  'an entry that does not add up, sealed anew': {
    edit(log, { key }) {
      editContent(rowOf(log), ({ lines }) => {
        lines[0].amount = '1';
      });
      sealAnew(log, key);
    },
    kind: 'entry-unbalanced',
    number: at,
  },
  'an audit row edited': {
    edit(log, { otherCompanyId }) {
      editContent(rowOf(log), (content) => {
        content.userId = otherCompanyId;
      });
    },
    ...{ kind: 'row-altered', number: at, log: 'audit' },
  },
  'a batch removed': {
    edit(log) {
      log.batches = log.batches.filter((batch) => batch.first !== batchOf(log));
    },
    kind: 'batch-order',
    number: batchOf,
    noRow: true,
  },
  'an epoch that falls': {
    edit: ({ batches }) => Object.assign(batches.at(-1) ?? {}, { epoch: 0 }),
    kind: 'epoch-altered',
    number: ({ batches }) => batches.at(-1)?.first ?? 0,
  },
  'a tree exchanged': {
    edit(log) {
      const batch = log.batches.find(({ last }) => last >= AT);
      if (batch !== undefined) batch.root = '2'.repeat(64);
    },
    kind: 'tree-broken',
    number: batchOf,
  },
  'the signature of a head forged': {
    edit: ({ heads }) => Object.assign(heads[1] ?? {}, { signature: heads[0]?.signature }),
    kind: 'head-signature',
    number: (_, { covered }) => (covered[0] ?? 0) + 1,
  },
  'the day of a head changed': {
    edit({ heads: [head] }) {
      if (head !== undefined) head.head = head.head.replace(/("publishedAt":")\d{4}/, '$12020');
    },
    kind: 'head-signature',
    number: first,
  },
  'a head removed': { edit: ({ heads }) => heads.shift(), kind: 'head-altered', number: first },
  'rows behind a head removed, and the head left': {
    edit: cutBehind,
    kind: 'head-beyond',
    number: behindLastButOne,
    noRow: true,
  },
  'the last rows and heads removed': {
    edit(log, known) {
      cutBehind(log, known);
      log.heads.pop();
    },
    ...{ kind: 'outside-head-beyond', number: behindLastButOne, has: ['heads'], noRow: true },
  },
  'the chain rebuilt from a point': {
    edit(log, { key }) {
      editContent(rowOf(log), doubleAmounts);
      sealAnew(log, key);
    },
    ...{ kind: 'outside-head', number: behindAgreed, has: ['heads'], noRow: true },
  },
  'the chain rebuilt under another key': {
    edit: (log) => sealAnew(log, sealKey('test-key')),
    ...{ kind: 'head-signature', number: first, has: ['keys'] },
  },
};
