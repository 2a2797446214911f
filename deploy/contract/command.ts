import type { OperationType } from '../../activities/operation.ts';
import { OPERATIONS } from '../../activities/operation-list.ts';
import { command, run } from '../cli/command.ts';
import { createProgress } from '../cli/progress.ts';
import { textTable } from '../cli/table.ts';
import { type ContractReport, checkContract, companiesFor } from './check.ts';
import { findSubject, type SubjectOptions } from './subject.ts';

/** `verify:financial-contract` and `verify:high-risk-contract`: exit 1 where an operation of that type lacks anything. */
export async function verifyContract(type: OperationType): Promise<void> {
  await run(
    command(
      `verify:${type}-contract`,
      `Tries each ${type} operation of a running system by each rule of the contract, and all routes for a way around it.`,
    )
      .option('--url <url>', 'another API than the local one')
      .option('--database-url <url>', "the database behind it, by its owner's login")
      .option('--tenants-file <file>', 'companies to use: the lines of company:create, each with its token')
      .option('--jwt-secret-file <file>', 'the secret that its tokens are signed with')
      .option('--json', 'prints the result as JSON on stdout')
      .addHelpText(
        'after',
        '\nIt writes in new companies (those of the file) and makes two users. Elsewhere than locally all four options are needed.\nExits 1 on any gap.',
      )
      .action((options: SubjectOptions & { json?: true }) => verify(type, options)),
  );
}

async function verify(type: OperationType, options: SubjectOptions & { json?: true }): Promise<void> {
  const operations = OPERATIONS.filter((operation) => operation.type === type);
  const subject = await findSubject(options, companiesFor(operations));
  const report = await checkContract(subject, { operations, all: OPERATIONS }, createProgress());
  console.log(options.json ? JSON.stringify({ type, ...report }) : contractText(report));
  if (report.gaps.length > 0) process.exitCode = 1;
}

function contractText({ operations, routes, gaps }: ContractReport): string {
  const rules = Object.keys(Object.values(operations)[0] ?? {});
  const cell = (missing: readonly string[] | undefined) => (missing?.length === 0 ? 'kept' : 'GAP');
  return [
    textTable(
      ['operation', ...rules],
      Object.entries(operations).map(([name, byRule]) => [name, ...rules.map((rule) => cell(byRule[rule]))]),
    ),
    '',
    `Routes: ${routes.length === 0 ? 'nothing is written but by an operation' : 'GAP'}`,
    ...(gaps.length === 0 ? ['Nothing is missing'] : [`${gaps.length} GAPS`, ...gaps.map((gap) => `  ${gap}`)]),
  ].join('\n');
}
