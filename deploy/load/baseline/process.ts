import { type ChildProcess, fork } from 'node:child_process';
import { on } from 'node:events';
import { join } from 'node:path';
import { childEnvironment, projectFolder } from '../../cli/local-config.ts';
import { endProcess } from '../../local/processes.ts';
import type { Measured, Window } from '../loops.ts';
import type { MeasureOrder, MeasureReport } from './messages.ts';
import { baselineUrl } from './schema.ts';

/** The benchmark's handle on the baseline's process, which exits with its parent when the IPC channel closes. */
export type Baseline = {
  readonly pid: number;
  measure(order: MeasureOrder, onEdge?: Window['onEdge']): Promise<Measured>;
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
    // Its own process group, so that Ctrl-C reaches only the benchmark.
    detached: true,
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  for await (const _ready of reportsOf(child)) break;
  if (child.exitCode !== null || child.signalCode !== null) throw new Error("The baseline's process does not start");
  return {
    pid: child.pid as number,
    async measure(order, onEdge) {
      child.send(order);
      for await (const [report] of reportsOf(child) as AsyncIterable<[MeasureReport]>) {
        if ('measured' in report) return report.measured;
        if ('error' in report) throw new Error(`The baseline failed: ${report.error}`);
        onEdge?.(report.edge);
      }
      throw new Error("The baseline's process ended");
    },
    stop: () => endProcess(child.pid as number, 0),
  };
}

/** The child's messages until it exits. */
function reportsOf(child: ChildProcess) {
  return on(child, 'message', { close: ['exit'] });
}
