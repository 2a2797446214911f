import { setTimeout as sleep } from 'node:timers/promises';
import { type LocalSystem, readLocalJson } from '../cli/local-json.ts';
import { childrenOf, sendSignal } from '../local/processes.ts';
import type { Stage, Trouble } from './scenario.ts';

/** A process that the local system starts again when it is gone. */
export const VICTIMS = ['postgres', 'temporal', 'api', 'worker'] as const;
export type Victim = (typeof VICTIMS)[number];

const FROZEN_MS = 10_000;
const RESTART_TIMEOUT_MS = 90_000;
const POLL_MS = 50;

/** SIGKILL; over when the local system has started the process again. */
export async function kill(victim: Victim, { signal }: Stage): Promise<Trouble> {
  const pid = pidOf(victim);
  const beganAt = performance.now();
  sendSignal(pid, 'SIGKILL');
  const deadline = beganAt + RESTART_TIMEOUT_MS;
  while (pidOf(victim) === pid) {
    if (performance.now() > deadline) throw new Error(`${victim} was killed and is not started again. See its log.`);
    await sleep(POLL_MS, undefined, { signal });
  }
  return { beganAt, endedAt: performance.now() };
}

const frozen = new Set<number>();
process.once('exit', thawAll);

/** SIGSTOP, and SIGCONT ten seconds later or whenever this process ends. */
export async function freeze(victim: Victim, { signal }: Stage): Promise<Trouble> {
  const beganAt = performance.now();
  try {
    const pid = pidOf(victim);
    stop(pid);
    // PostgreSQL has a process for each connection; a stopped parent starts no more of them.
    for (const child of childrenOf(pid)) stop(child);
    await sleep(FROZEN_MS, undefined, { signal });
  } finally {
    thawAll();
  }
  return { beganAt, endedAt: performance.now() };
}

function stop(pid: number): void {
  frozen.add(pid);
  sendSignal(pid, 'SIGSTOP');
}

function thawAll(): void {
  for (const pid of frozen) sendSignal(pid, 'SIGCONT');
  frozen.clear();
}

export function localSystem(): LocalSystem {
  const local = readLocalJson();
  if (local === undefined) throw new Error('The local system has ended.');
  return local;
}

function pidOf(victim: Victim): number {
  const pid = localSystem().pids[victim];
  if (pid === null) throw new Error(`Bug! ${victim} is not a process of the local system`);
  return pid;
}
