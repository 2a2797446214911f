import { OPERATIONS } from '../../../activities/operation-list.ts';
import type { LostWrite } from '../../../activities/write/lose-write.ts';
import { textTable } from '../../cli/table.ts';
import type { Stake } from './verify.ts';

/** What an operator has to know before they open a database that has lost writes. */
export function stakeText({ replaced, losses, companies, ofUnknownCompanies }: Stake): string {
  const { lost, groups, keyRuns, inOwnRuns, unreadable, lostVersions } = losses;
  return [
    replaced === null ? 'The database is not verified yet.' : `The database is replaced: ${replaced}.`,
    '',
    `Read in Temporal: ${groups} groups that were not settled, ${keyRuns} completed runs of keys.`,
    lost.length === 0
      ? 'No write is missing.'
      : `Lost: ${lost.length} writes of ${companies.length} companies. Each key is answered 500 write_record_missing from now on, until it is reopened or cancelled.`,
    ...(ofUnknownCompanies === 0
      ? []
      : [`Of these, ${ofUnknownCompanies} are of companies that this database does not know; they are not marked.`]),
    ...(inOwnRuns === 0 ? [] : [`${inOwnRuns} writes have left their group: the run of each decides.`]),
    ...(unreadable.length === 0
      ? []
      : [
          `What these runs contained is not known, so it is not marked: ${unreadable.join(', ')}`,
          'Those of before encryption are read with PAYLOAD_ENCRYPTION=encrypt.',
        ]),
    ...(lostVersions === 0
      ? []
      : [
          `From this state of the database ${lostVersions} others had gone on; their writes are among those that are lost.`,
        ]),
    ...(companies.length === 0 ? [] : ['', byCompany(companies), '', ...companies.flatMap(ofCompany)]),
    '',
    'Before it is opened: compare the numbers of documents that customers hold, and the cursors of events that consumers hold, with',
    'this database (DatabaseReplaced in docs/runbooks.md).',
  ].join('\n');
}

function byCompany(companies: Stake['companies']): string {
  return textTable(
    ['company', 'writes', 'numbers', 'amounts in minor units'],
    companies.map(({ company, writes, numbers, amounts }) => [
      `${company.name} (${company.id})`,
      String(writes.length),
      counts(numbers),
      counts(amounts),
    ]),
  );
}

/** `invoice 2, payment 5`, or 0. */
function counts(of: Readonly<Record<string, number | bigint>>): string {
  return (
    Object.entries(of)
      .map(([name, count]) => `${name} ${count}`)
      .join(', ') || '0'
  );
}

function ofCompany({ company, writes }: Stake['companies'][number]): string[] {
  return [
    `${company.name}`,
    ...writes.map((write) => `  ${write.requestedAt}  ${write.args.key}  ${summaryOf(write)}`),
    '',
  ];
}

/** The line that the Temporal UI shows of the write. */
function summaryOf({ args }: LostWrite): string {
  const operation = OPERATIONS.find(({ name }) => name === args.operation);
  try {
    return operation?.summarize(args.input) ?? args.operation;
  } catch {
    return args.operation;
  }
}

/** For `--json`. Amounts are text: a sum may be larger than a JSON number can be. */
export function stakeJson({ replaced, losses, companies, ofUnknownCompanies }: Stake) {
  return {
    replaced,
    groups: losses.groups,
    keyRuns: losses.keyRuns,
    lost: losses.lost.length,
    inOwnRuns: losses.inOwnRuns,
    unreadable: losses.unreadable,
    lostVersions: losses.lostVersions,
    ofUnknownCompanies,
    companies: companies.map(({ company, writes, numbers, amounts }) => ({
      companyId: company.id,
      name: company.name,
      invoiceNumbers: numbers.invoice ?? 0,
      numbers,
      amounts: Object.fromEntries(Object.entries(amounts).map(([currency, amount]) => [currency, String(amount)])),
      writes: writes.map((write) => ({
        key: write.args.key,
        operation: write.args.operation,
        summary: summaryOf(write),
        requestedAt: write.requestedAt,
        workflowId: write.workflowId,
        runId: write.runId,
      })),
    })),
  };
}
