import { Command } from 'commander';
import pg from 'pg';
import { errorText } from '../client/src/error-text.ts';
import { printed } from './printed.ts';

/** `npm run <name> -- …`. Only the result goes to stdout; an error message on stderr says what to do. */
export function command(name: string, description: string): Command {
  return new Command(`npm run --silent ${name} --`).description(description).helpOption('--help', 'show this help');
}

/** `failed`: the exit code where the command could not do what it was asked for, wrong arguments included. */
export async function run(program: Command, { failed = 1 } = {}): Promise<void> {
  program.exitOverride(({ exitCode }) => process.exit(exitCode === 0 ? 0 : failed));
  // Whoever reads has read enough, such as `head`.
  process.stdout.on('error', ({ code }: NodeJS.ErrnoException) => {
    if (code !== 'EPIPE') console.error(`What was found cannot be printed (${code}).`);
    process.exit(failed);
  });
  try {
    await program.parseAsync();
  } catch (error) {
    console.error(printed(errorText(error)));
    process.exitCode = failed;
  }
}

export async function withDatabase<T>(
  connectionString: string,
  work: (client: pg.Client) => Promise<T>,
  applicationName = 'accubooks-operator',
): Promise<T> {
  const client = new pg.Client({ connectionString, application_name: applicationName });
  try {
    await client.connect();
  } catch (cause) {
    const { host } = new URL(connectionString);
    throw new Error(`The database at ${host} cannot be reached (${errorText(cause)}). Is it running?`, { cause });
  }
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}
