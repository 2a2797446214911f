import { textTable } from '../../cli/table.ts';
import type { Copies } from './copies.ts';

export type Kind = 'customer' | 'employee' | 'user';

/** A request as the database has it. */
export type Asked = {
  readonly kind: Kind;
  readonly person: string;
  readonly companies: readonly string[];
  readonly texts: readonly string[];
  readonly reason: string;
  readonly asked_by: string;
  readonly asked_operator: string;
  readonly asked_at: string;
};

/** What has changed, company by company: rows by table, and what the operator has to know. */
export type Erased = {
  readonly erasure?: string;
  readonly dryRun?: true;
  readonly companies: readonly ErasedInCompany[];
};

type ErasedInCompany = {
  readonly company: string;
  /** Sealed rows whose salts are gone. */
  readonly salts: number;
  readonly archivedMonths?: readonly string[];
  readonly sameNames?: readonly string[];
  readonly keysNamingThem?: number;
  readonly [table: string]: unknown;
};

export function askedText({ kind, person, companies, texts, reason, ...asked }: Asked): string {
  return [
    `${asked.asked_operator} (${asked.asked_by}) has asked at ${asked.asked_at} for the erasure of:`,
    '',
    `  ${kind}   ${person}`,
    `  company    ${companies.join(', ') || 'none'}`,
    ...(texts.length === 0 ? [] : [`  texts      ${texts.join(' · ')}`]),
    `  reason     ${reason}`,
    '',
    'This cannot be undone.',
  ].join('\n');
}

export function erasedText({ erasure, dryRun, companies }: Erased, copies: Copies): string {
  const heads = dryRun ? ['Nothing was changed. This would be:'] : [`Erased (${erasure}).`];
  return [...heads, ...companies.flatMap((one) => ['', ...companyText(one)]), '', ...copiesText(copies)].join('\n');
}

function companyText(erased: ErasedInCompany): string[] {
  const { company, salts, archivedMonths = [], sameNames = [], keysNamingThem = 0, ...tables } = erased;
  const rows = Object.entries(tables).map(([table, count]) => [table, String(count)] as const);
  const changed = rows.length === 0 ? ['Nothing is left to erase.'] : [textTable(['table', 'rows'], rows)];
  return [
    `Company ${company}`,
    ...changed,
    `${salts} sealed rows keep their digests; their salts are gone.`,
    ...(archivedMonths.length === 0
      ? []
      : [
          `Archived months of the audit log have rows about this person and stay as they are: ${archivedMonths.join(', ')}.`,
        ]),
    ...(keysNamingThem === 0
      ? []
      : [
          `${keysNamingThem} idempotency keys name the person, and stay: a key is what keeps a write from happening again.`,
        ]),
    ...(sameNames.length === 0
      ? []
      : [`Others are called the same, and stay: ${sameNames.join(', ')}. Erase them, too, if it is the same person.`]),
  ];
}

function copiesText(copies: Copies): string[] {
  const temporal =
    'goneBy' in copies
      ? `Temporal's copies are gone by ${copies.goneBy} (${copies.retentionDays} days of retention).`
      : `By when Temporal's copies are gone is not known: ${copies.unknown}`;
  return [temporal, 'Backups are not touched: after a restore of one, run this command again (docs/privacy.md).'];
}
