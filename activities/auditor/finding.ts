import { CONTROLS } from '../controls/controls.ts';

/** What does not agree, and where. What is not known of it is null. */
export type Finding = {
  /** One of {@link FINDING_KINDS}, or the name of a control that does not hold. */
  readonly kind: string;
  readonly companyId: string | null;
  readonly key: string | null;
  readonly writeId: string | null;
  readonly table: string | null;
  readonly rowId: string | null;
  /** One sentence, or the row that a control has returned, as JSON. Without names of persons, and without salaries. */
  readonly detail: string;
  /** Of a published head that was kept outside: the SHA-256 of its text. It may have been kept in several places. */
  readonly head?: string;
  /** The section that says what an operator does next. */
  readonly runbook: string;
};

const RUNBOOKS = 'docs/runbooks.md';

/** Each kind, besides those that have the name of a control, with its section of the runbooks. */
export const FINDING_KINDS = {
  'run-without-row': 'finding-a-run-without-its-row',
  'row-without-run': 'finding-a-row-without-its-run',
  'write-unfinished': 'finding-rows-of-a-write-are-missing',
  'business-row-missing': 'finding-rows-of-a-write-are-missing',
  'entry-missing': 'finding-rows-of-a-write-are-missing',
  'audit-row-missing': 'finding-rows-of-a-write-are-missing',
  'event-missing': 'finding-rows-of-a-write-are-missing',
  'business-row-without-write': 'finding-rows-without-a-write',
  'entry-without-write': 'finding-rows-without-a-write',
  'audit-row-without-write': 'finding-rows-without-a-write',
  'event-without-write': 'finding-rows-without-a-write',
  'company-missing': 'finding-rows-without-a-write',
  'write-doubled': 'finding-two-rows-for-one-write',
  'business-row-doubled': 'finding-two-rows-for-one-write',
  'entry-doubled': 'finding-two-rows-for-one-write',
  'audit-row-doubled': 'finding-two-rows-for-one-write',
  'event-doubled': 'finding-two-rows-for-one-write',
  'write-id-altered': 'finding-a-row-says-something-else-than-its-write',
  'request-altered': 'finding-a-row-says-something-else-than-its-write',
  'answer-altered': 'finding-a-row-says-something-else-than-its-write',
  'entry-altered': 'finding-a-row-says-something-else-than-its-write',
  'audit-row-altered': 'finding-a-row-says-something-else-than-its-write',
  'event-altered': 'finding-a-row-says-something-else-than-its-write',
  'sealed-row-altered': 'finding-the-seal-does-not-hold',
  'sealed-row-missing': 'finding-the-seal-does-not-hold',
  'seal-number-missing': 'finding-the-seal-does-not-hold',
  'seal-chain-broken': 'finding-the-seal-does-not-hold',
  'seal-tree-broken': 'finding-the-seal-does-not-hold',
  'seal-batch-missing': 'finding-the-seal-does-not-hold',
  'seal-epoch-altered': 'finding-the-seal-does-not-hold',
  'seal-salts-missing': 'finding-the-seal-does-not-hold',
  'head-forged': 'finding-the-seal-does-not-hold',
  'head-differs': 'finding-the-seal-does-not-hold',
  'head-missing': 'finding-the-seal-does-not-hold',
  'row-unsealed': 'finding-the-seal-does-not-hold',
} as const;

export type FindingKind = keyof typeof FINDING_KINDS;

const OF_CONTROLS = 'finding-a-control-does-not-hold';
const OF_NUMBERS = 'finding-numbers-with-a-gap';

/** The section about a kind. */
function runbookOf(kind: string): string {
  const known: Readonly<Record<string, string>> = FINDING_KINDS;
  const section = known[kind] ?? (kind.endsWith('-numbers') ? OF_NUMBERS : OF_CONTROLS);
  return `${RUNBOOKS}#${section}`;
}

/** Everything that a finding may be, in the order in which people are told of it. */
export const ALL_KINDS: readonly string[] = [...Object.keys(FINDING_KINDS), ...CONTROLS.map(({ name }) => name)];

type Known = { readonly kind: string; readonly detail: string } & Partial<Finding>;

export function findingOf(known: Known): Finding {
  const { kind, companyId = null, key = null, writeId = null, table = null, rowId = null, detail, head } = known;
  const ofHead = head === undefined ? {} : { head };
  return { kind, companyId, key, writeId, table, rowId, detail, ...ofHead, runbook: runbookOf(kind) };
}
