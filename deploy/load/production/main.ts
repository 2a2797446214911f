/** `npm run benchmark:production -- …`: how fast a system is that others use as well, within bounds that are given. */

import { countArgument } from '../../cli/arguments.ts';
import { command, run } from '../../cli/command.ts';
import { createProgress } from '../../cli/progress.ts';
import { openHttp } from '../../client/http.ts';
import { withRemote } from '../../smoke/command.ts';
import { findRemote, type RemoteOptions } from '../../smoke/config.ts';
import { requireOwnCompany } from '../../smoke/own-company.ts';
import { paceWrites } from './pace.ts';
import { paceText } from './text.ts';

type Options = RemoteOptions & { company: string; seconds: number; rate: number; json?: true };

const MAX_SECONDS = 300;
/** A fifth of what a company may send by default, so that the limit is not what is measured. */
const MAX_PER_SECOND = 100;

await run(
  withRemote(
    command(
      'benchmark:production',
      'Sends writes at a steady rate into a company of its own, and tells how long the answers took.',
    ),
    'production',
  )
    .requiredOption('--seconds <n>', `for how long, at most ${MAX_SECONDS}`, countArgument(MAX_SECONDS))
    .requiredOption('--rate <n>', `writes a second, at most ${MAX_PER_SECOND}`, countArgument(MAX_PER_SECOND))
    .option('--json', 'prints the result as JSON')
    .addHelpText('after', '\nIt makes rate × seconds customers, which stay. Exits 1 on any answer but a success.')
    .action(benchmark),
);

async function benchmark(options: Options): Promise<void> {
  const remote = findRemote(options);
  const http = openHttp(remote.url, { connections: options.rate });
  try {
    await requireOwnCompany(http, remote, options.company);
    const { seconds, rate } = options;
    console.error(
      `${seconds * rate} writes, ${rate} a second, into ${options.company}. The API's own limits are RATE_LIMIT_PER_SECOND and ` +
        'RATE_LIMIT_BURST for each company and process (500 and 2,000 unless it was given others); what they refuse is counted as 429.',
    );
    const result = await paceWrites(http, { token: remote.token, seconds, rate, progress: createProgress() });
    console.log(options.json ? JSON.stringify(result) : paceText(result));
    if (result.failed > 0) process.exitCode = 1;
  } finally {
    await http.close();
  }
}
