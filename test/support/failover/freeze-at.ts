import { CRASH_CHANNEL, type CrashPoint } from '../../../activities/crash-points.ts';

/** The environment of a process that freezes itself with SIGSTOP when it first comes to that point. */
export function freezeAt(point: CrashPoint): Record<string, string> {
  const listener = `
    import { subscribe } from 'node:diagnostics_channel';
    let isOver = false;
    const freeze = (point) => {
      if (isOver || point !== ${JSON.stringify(point)}) return;
      isOver = true;
      process.kill(process.pid, 'SIGSTOP');
    };
    subscribe(${JSON.stringify(CRASH_CHANNEL)}, freeze);`;
  return { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(listener)}` };
}
