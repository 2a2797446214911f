import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { childEnvironment, projectFolder } from '../../local/config.ts';
import { endProcess } from '../../local/processes.ts';
import type { Measured } from '../loops.ts';
import type { MeasureOrder, MeasureReport, ReadyReport } from './messages.ts';
import { baselineUrl } from './schema.ts';

/** The baseline's process, from the benchmark's side. It ends with us, by its channel. */
export type Baseline = {
  readonly pid: number;
  measure(order: MeasureOrder): Promise<Measured>;
  stop(): Promise<void>;
};

export async function startBaseline(options: {
  readonly databaseUrl: string;
  readonly temporalAddress: string;
  readonly companyId: string;
}): Promise<Baseline> {
  const child = fork(join(projectFolder, 'deploy/load/baseline/main.ts'), [options.companyId], {
    cwd: projectFolder,
    execArgv: ['--import', 'tsx'],
    env: childEnvironment({
      DATABASE_URL: baselineUrl(options.databaseUrl),
      TEMPORAL_ADDRESS: options.temporalAddress,
    }),
    // A group of its own: Ctrl-C reaches the benchmark first.
    detached: true,
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  await answer<ReadyReport>(child);
  return {
    pid: child.pid as number,
    async measure(order) {
      child.send(order);
      const report = await answer<MeasureReport>(child);
      if ('error' in report) throw new Error(`The baseline failed: ${report.error}`);
      return report;
    },
    stop: () => endProcess(child.pid as number, 0),
  };
}

async function answer<T>(child: ChildProcess): Promise<T> {
  const waiting = new AbortController();
  const { signal } = waiting;
  const died = once(child, 'exit', { signal }).then(([code]) => {
    throw new Error(`The baseline's process ended (${code})`);
  });
  died.catch(() => undefined);
  try {
    const [message] = await Promise.race([once(child, 'message', { signal }), died]);
    return message as T;
  } finally {
    waiting.abort();
  }
}
