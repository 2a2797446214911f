import { Command } from 'commander';
import pg from 'pg';

/** `npm run <name> -- …`. Only the result goes to stdout; an error message on stderr says what to do. */
export function command(name: string, description: string): Command {
  return new Command(`npm run --silent ${name} --`).description(description).helpOption('--help', 'show this help');
}

export async function run(program: Command): Promise<void> {
  try {
    await program.parseAsync();
  } catch (error) {
    console.error(messageOf(error));
    process.exitCode = 1;
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
    throw new Error(`The database at ${host} cannot be reached (${messageOf(cause)}). Is it running?`, { cause });
  }
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}

/** A failed connection to several addresses is an AggregateError with an empty message. */
function messageOf(error: unknown): string {
  if (error instanceof AggregateError && error.message === '') return error.errors.map(messageOf).join('; ');
  return error instanceof Error ? error.message : String(error);
}
