import { randomUUID } from 'node:crypto';
import type { Command } from 'commander';
import { idArgument } from '../cli/arguments.ts';
import { command, run } from '../cli/command.ts';
import { openPooledHttp } from '../cli/pooled-http.ts';
import { textTable } from '../cli/table.ts';
import { type SmokeCheck, smoke } from './checks.ts';
import { findRemote, type RemoteOptions, urlArgument } from './config.ts';
import { requireOwnCompany } from './own-company.ts';

type Options = RemoteOptions & { readonly company?: string; readonly json?: true };

const CONNECTIONS = 2;

/** `test:smoke:staging` and `test:smoke:production`: exit 1 if a check fails. */
export async function smokeCommand(environment: 'staging' | 'production'): Promise<void> {
  await run(
    withRemote(
      command(
        `test:smoke:${environment}`,
        'Checks a running system from outside: health, one write, its replay, a mismatch, status and read.',
      ),
      environment,
    )
      .option(
        '--other-token-file <file>',
        'a file with a token of another company, which must see nothing (or OTHER_API_TOKEN)',
      )
      .option('--json', 'print the checks as JSON')
      .addHelpText('after', '\nCreates one customer. Exits 1 if a check fails.')
      .action((options: Options) => runSmoke(environment, options)),
  );
}

/** Adds the options that name the API and the company; in production the company must be named explicitly. */
export function withRemote(program: Command, environment: 'staging' | 'production'): Command {
  program
    .option('--url <url>', 'the API (or API_URL)', urlArgument)
    .option('--token-file <file>', 'a file with the token to use (or API_TOKEN)');
  return environment === 'production'
    ? program.requiredOption(
        '--company <id>',
        'the company of the token, as a confirmation; its name must begin with "Smoke" or "Benchmark"',
        idArgument,
      )
    : program.option('--company <id>', 'the expected company; a token of another one is refused', idArgument);
}

async function runSmoke(environment: 'staging' | 'production', options: Options): Promise<void> {
  const remote = findRemote(options);
  const http = openPooledHttp(remote.url, { connections: CONNECTIONS });
  try {
    if (environment === 'production') await requireOwnCompany(http, remote, options.company ?? '');
    else if (options.company !== undefined && options.company !== remote.companyId) {
      throw new Error(`The token belongs to the company ${remote.companyId}. Nothing was sent.`);
    }
    const key = `smoke-${randomUUID()}`;
    const checks = await smoke(http, remote, key);
    const failed = checks.filter(({ passed }) => !passed).length;
    console.log(
      options.json
        ? JSON.stringify({ url: remote.url, key, failed, checks })
        : smokeText(checks, remote.otherToken !== undefined),
    );
    if (failed > 0) process.exitCode = 1;
  } finally {
    await http.close();
  }
}

function smokeText(checks: readonly SmokeCheck[], isolation: boolean): string {
  return [
    textTable(
      ['check', 'seen', 'result'],
      checks.map(({ what, seen, passed }) => [what, seen, passed ? 'ok' : 'FAILED']),
    ),
    ...(isolation ? [] : ['Not checked: that another company sees nothing (no --other-token-file was given).']),
  ].join('\n');
}
