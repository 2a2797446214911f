import { sendSignal, waitForExit } from '../../../local/processes.ts';
import type { ServerProcess } from '../../benchmark/server-process.ts';

/** A process that can be killed and started again in its place. */
export type AppProcess = { pid(): number; crash(): Promise<void>; stop(): Promise<void> };

/** What a supervisor needs to notice that a process is gone. */
const EXIT_TIMEOUT_MS = 5_000;

export async function keepApp(start: () => Promise<ServerProcess>): Promise<AppProcess> {
  let current = await start();
  return {
    pid: () => current.pid,
    async crash() {
      sendSignal(current.pid, 'SIGKILL');
      await waitForExit(current.pid, EXIT_TIMEOUT_MS);
      current = await start();
    },
    stop: () => current.stop(),
  };
}
