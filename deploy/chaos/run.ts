import { randomUUID } from 'node:crypto';
import { givenTemporalAddress } from '../cli/config.ts';
import { isLoopback } from '../cli/local-config.ts';
import { readLocalJson } from '../cli/local-json.ts';
import { openPooledHttp } from '../cli/pooled-http.ts';
import type { Progress } from '../cli/progress.ts';
import { findTarget, readTenants, type TargetOptions } from '../cli/target.ts';
import { judge, lookAround, type Verdict } from './judge.ts';
import { CannotRun, NEEDS, type Need, type Scenario } from './scenario.ts';

export type Options = TargetOptions & { readonly minutes: number; readonly seed: string };

/** Either its end, or what the target lacks for it. */
export type ScenarioEnd = { readonly scenario: Scenario } & (
  | { readonly verdict: Verdict }
  | { readonly notRun: string }
  /** It ended in the middle: that proves nothing, and so it is a violation. */
  | { readonly failed: string }
);

const CONNECTIONS = 512;

export async function runScenario(
  scenario: Scenario,
  options: Options,
  progress: Progress,
  signal: AbortSignal,
): Promise<ScenarioEnd> {
  const lacking = whatIsLacking(scenario, options);
  if (lacking !== undefined) return { scenario, notRun: `needs ${lacking}` };
  progress.done(`${scenario.name}: ${scenario.promise}`);
  const target = await findTarget(options, scenario.companies);
  const http = openPooledHttp(target.url, { connections: CONNECTIONS });
  const { minutes, seed } = options;
  const run = `chaos-${randomUUID().slice(0, 8)}`;
  const stage = { target, http, seed, seconds: minutes * 60, run, progress, signal };
  try {
    const look = await lookAround(stage);
    const verdict = await judge(stage, await scenario.run(stage), look);
    return { scenario, verdict };
  } catch (error) {
    if (error instanceof CannotRun) return { scenario, notRun: `needs ${error.message}` };
    signal.throwIfAborted();
    return { scenario, failed: (error as Error).message };
  } finally {
    await http.close();
  }
}

/** Undefined if it has all that the scenario needs, as far as that is known without trying. */
export function whatIsLacking(scenario: Scenario, options: TargetOptions): string | undefined {
  const local = readLocalJson();
  const url = options.url?.replace(/\/$/, '') ?? local?.apiUrl;
  if (url === undefined)
    throw new Error('No local system is running: start one ("npm start", with the same DATA_DIR), or give --url.');
  const isLocal = local !== undefined && url === local.apiUrl;
  const has: Record<Need, boolean> = {
    database: isLocal || options.databaseUrl !== undefined,
    // The runs of the local system's Temporal are not those of another system.
    temporal: isLocal || givenTemporalAddress() !== undefined,
    receiver: isLoopback(new URL(url).hostname),
    local: isLocal && local.pids.postgres !== null && local.pids.temporal !== null,
  };
  const lacking: string[] = scenario.needs.filter((need) => !has[need]).map((need) => NEEDS[need]);
  const given = options.tenantsFile === undefined ? 0 : readTenants(options.tenantsFile).length;
  // On the local system they are made for the scenario, unless others are given.
  if ((!isLocal || options.tenantsFile !== undefined) && given < scenario.companies) {
    lacking.push(`${scenario.companies} companies (--tenants-file)`);
  }
  return lacking.length === 0 ? undefined : lacking.join(' and ');
}
