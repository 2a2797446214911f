import type { OperationType } from '../../activities/operation.ts';
import { OPERATIONS } from '../../activities/operation-list.ts';
import { command, run } from '../cli/command.ts';
import { createProgress } from '../cli/progress.ts';
import { textTable } from '../cli/table.ts';
import { type ContractReport, checkContract, companiesFor } from './check.ts';
import { findSubject, type SubjectOptions } from './subject.ts';

/** `verify:financial-contract` and `verify:high-risk-contract`: exit 1 if an operation of that type breaks a rule. */
export async function verifyContract(type: OperationType): Promise<void> {
  await run(
    command(
      `verify:${type}-contract`,
      `Checks each ${type} operation of a running system against each rule of the contract, and that no other route writes.`,
    )
      .option('--url <url>', 'the API, by default the local one')
      .option('--database-url <url>', "the database behind it, with its owner's login")
      .option('--tenants-file <file>', 'companies to use: the output of company:create, a token on each line')
      .option('--jwt-secret-file <file>', 'a file with the secret that signs its tokens')
      .option('--json', 'print the result as JSON')
      .addHelpText(
        'after',
        '\nWrites into new companies (or those of the file) and creates two users. Except on the local system all four options are required.\nExits 1 on any gap.',
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
    `Routes: ${routes.length === 0 ? 'only operations write' : 'GAP'}`,
    ...(gaps.length === 0 ? ['No gaps'] : [`${gaps.length} GAPS`, ...gaps.map((gap) => `  ${gap}`)]),
  ].join('\n');
}
