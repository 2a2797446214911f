import type { LauncherConfig } from './config.ts';
import { firstFreePort, isPortFree } from './ports.ts';

const WORKER_METRICS_PORT = 9464;

/** Checks that the requested PORT is free and returns the port for the worker's metrics, for which any free one will do. */
export async function choosePorts({ PORT, HOST, METRICS_PORT }: LauncherConfig): Promise<number> {
  if (!(await isPortFree(PORT, HOST))) {
    throw new Error(
      `Port ${PORT} is in use by another program. Stop that program, or choose another port: PORT=${PORT + 1} npm start`,
    );
  }
  if (METRICS_PORT === undefined) return firstFreePort(WORKER_METRICS_PORT, [PORT]);
  if (METRICS_PORT !== PORT && (await isPortFree(METRICS_PORT, HOST))) return METRICS_PORT;
  throw new Error(`METRICS_PORT ${METRICS_PORT} is in use. Choose another one, or unset it.`);
}

/** The host name with which this machine reaches a server that listens on `host`. */
export function reachable(host: string): string {
  if (host === '0.0.0.0' || host === '::') return '127.0.0.1';
  return host.includes(':') ? `[${host}]` : host;
}
