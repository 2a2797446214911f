/** `npm run benchmark:production -- …`: measures a system that is in use, with a limited load. */

import { countArgument } from '../../cli/arguments.ts';
import { command, run } from '../../cli/command.ts';
import { openPooledHttp } from '../../cli/pooled-http.ts';
import { createProgress } from '../../cli/progress.ts';
import { withRemote } from '../../smoke/command.ts';
import { findRemote, type RemoteOptions } from '../../smoke/config.ts';
import { requireOwnCompany } from '../../smoke/own-company.ts';
import { paceWrites } from './pace.ts';
import { paceText } from './text.ts';

type Options = RemoteOptions & { company: string; seconds: number; rate: number; json?: true };

const MAX_SECONDS = 300;
/** A fifth of the default rate limit of a company, so that the limit does not affect the measurement. */
const MAX_PER_SECOND = 100;

await run(
  withRemote(
    command(
      'benchmark:production',
      'Sends writes at a steady rate into a company made for this, and reports the latencies.',
    ),
    'production',
  )
    .requiredOption('--seconds <n>', `how long, at most ${MAX_SECONDS}`, countArgument(MAX_SECONDS))
    .requiredOption('--rate <n>', `writes per second, at most ${MAX_PER_SECOND}`, countArgument(MAX_PER_SECOND))
    .option('--json', 'print the result as JSON')
    .addHelpText('after', '\nCreates rate × seconds customers, which remain. Exits 1 unless all answers are successes.')
    .action(benchmark),
);

async function benchmark(options: Options): Promise<void> {
  const remote = findRemote(options);
  const http = openPooledHttp(remote.url, { connections: options.rate });
  try {
    await requireOwnCompany(http, remote, options.company);
    const { seconds, rate } = options;
    console.error(
      `${seconds * rate} writes, ${rate} per second, into ${options.company}. The API limits each company and process to ` +
        'RATE_LIMIT_PER_SECOND and RATE_LIMIT_BURST (500 and 2,000 by default); refused requests are counted as 429.',
    );
    const result = await paceWrites(http, { token: remote.token, seconds, rate, progress: createProgress() });
    console.log(options.json ? JSON.stringify(result) : paceText(result));
    if (result.failed > 0) process.exitCode = 1;
  } finally {
    await http.close();
  }
}
