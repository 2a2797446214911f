import { hostname, userInfo } from 'node:os';
import type pg from 'pg';
import { type Pool, queryOnce } from '../../activities/database.ts';
import { sudoUser } from './config.ts';

/** Who ran which command, for the security log. `company` is the company that it is about, if it is about one. */
export type CommandRun = {
  /** As it is typed: `write reopen`. */
  readonly name: string;
  readonly company?: string | undefined;
  /** Keys, IDs and months; never a secret, an e-mail address or free text. */
  readonly details?: Readonly<Record<string, string | number>>;
};

type Sql = (text: string, values: readonly unknown[]) => Promise<unknown>;

/**
 * Records a command before it does anything; the database adds by which login it came. Throws where that is not possible: a
 * command that leaves no trace is not run.
 */
export async function recordCommand(sql: Sql, { name, company, details = {} }: CommandRun): Promise<void> {
  await sql('SELECT record_operator_command(p_command => $1, p_company => $2, p_details => $3)', [
    name,
    company ?? null,
    JSON.stringify({ ...details, ...whoRuns() }),
  ]);
}

/** For a command that changes nothing: on a standby, for example, which records nothing, an operator still has to see what is there. */
export async function recordLook(sql: Sql, run: CommandRun): Promise<void> {
  await recordCommand(sql, run).catch((error: Error) => {
    console.error(`Note: this command could not be recorded in the security log (${error.message}).`);
  });
}

export function sqlOf(database: pg.Client | Pool): Sql {
  return 'connections' in database
    ? (text, values) => queryOnce(database, text, values)
    : (text, values) => database.query(text, [...values]);
}

/** `sudo` tells who was there before. */
function whoRuns(): Record<string, string> {
  const before = sudoUser();
  return { osUser: osUser(), host: hostname(), ...(before === undefined ? {} : { sudoUser: before }) };
}

/** Whom a command takes for its operator, if it is not told: `sudo` tells who was there before. */
export function operatorName(): string {
  return sudoUser() ?? osUser();
}

/** A container may have no name for its user. */
export function osUser(): string {
  try {
    return userInfo().username;
  } catch {
    return `uid ${process.getuid?.() ?? 'unknown'}`;
  }
}
