import { CRASH_CHANNEL, type CrashPoint } from '../../activities/crash-points.ts';

/** The environment of a process that ends itself with SIGKILL at that point. */
export function crashAt(point: CrashPoint): Record<string, string> {
  const listener = `
    import { subscribe } from 'node:diagnostics_channel';
    const end = (point) => { if (point === ${JSON.stringify(point)}) process.kill(process.pid, 'SIGKILL'); };
    subscribe(${JSON.stringify(CRASH_CHANNEL)}, end);`;
  return { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(listener)}` };
}
