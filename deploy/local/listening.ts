import type { LauncherConfig } from './config.ts';
import { firstFreePort, isPortFree } from './ports.ts';

const WORKER_METRICS_PORT = 9464;

/** The port that the user asked for, or nothing; only for the worker's metrics any will do. */
export async function choosePorts({ PORT, HOST, METRICS_PORT }: LauncherConfig): Promise<number> {
  if (!(await isPortFree(PORT, HOST))) {
    throw new Error(
      `Port ${PORT} is taken by another program. Stop that one, or choose another port: PORT=${PORT + 1} npm start`,
    );
  }
  if (METRICS_PORT === undefined) return firstFreePort(WORKER_METRICS_PORT, [PORT]);
  if (METRICS_PORT !== PORT && (await isPortFree(METRICS_PORT, HOST))) return METRICS_PORT;
  throw new Error(`METRICS_PORT ${METRICS_PORT} is taken. Choose another one, or unset it.`);
}

/** The name under which this machine reaches a server that listens on `host`. */
export function reachable(host: string): string {
  if (host === '0.0.0.0' || host === '::') return '127.0.0.1';
  return host.includes(':') ? `[${host}]` : host;
}
