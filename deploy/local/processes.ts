import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

/** Information about processes that are not our children: from /proc on Linux, elsewhere from `ps`. */

const POLL_MS = 20;
const hasProc = existsSync('/proc/self/stat');

/** A zombie (exited, but not yet reaped by its parent) still accepts signals but is not alive. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') return false;
  }
  return !['Z', 'X', ''].includes(stateOf(pid));
}

/** `T` while it is stopped, `Z` for a zombie; empty when there is no such process. */
export function stateOf(pid: number): string {
  return hasProc ? (statOf(pid)[0] ?? '') : ps(pid, 'stat').charAt(0);
}

export function commandLine(pid: number): string {
  return hasProc ? readProc(pid, 'cmdline').replaceAll('\0', ' ').trim() : ps(pid, 'command');
}

/** The processes whose working directory is `folder`; empty without /proc. */
export function processesIn(folder: string): number[] {
  if (!hasProc) return [];
  return allPids().filter((pid) => workingFolder(pid) === folder);
}

/** The processes that `parent` has started and that still run. */
export function childrenOf(parent: number): number[] {
  if (!hasProc) {
    const lines = execFileSync('ps', ['-A', '-o', 'pid=,ppid='], { encoding: 'utf8' }).trim().split('\n');
    const rows = lines.map((line) => line.trim().split(/\s+/).map(Number));
    return rows.flatMap(([pid, of]) => (of === parent && pid !== undefined ? [pid] : []));
  }
  return allPids().filter((pid) => Number(statOf(pid)[1]) === parent);
}

/** False if `timeoutMs` passes first. */
export async function waitForExit(pid: number, timeoutMs: number): Promise<boolean> {
  const deadline = performance.now() + timeoutMs;
  while (isAlive(pid)) {
    if (performance.now() >= deadline) return false;
    await sleep(POLL_MS);
  }
  return true;
}

/** Sends SIGTERM, and SIGKILL after `graceMs`; returns when the process has exited. */
export async function endProcess(pid: number, graceMs: number): Promise<void> {
  sendSignal(pid, graceMs > 0 ? 'SIGTERM' : 'SIGKILL');
  if (graceMs > 0 && (await waitForExit(pid, graceMs))) return;
  sendSignal(pid, 'SIGKILL');
  if (!(await waitForExit(pid, 5_000))) throw new Error(`Process ${pid} does not exit, not even after SIGKILL.`);
}

/** Signals a process, or its group with a negative ID; a process that has already exited is not an error. */
export function sendSignal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

function readProc(pid: number, file: 'stat' | 'cmdline'): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8');
  } catch {
    return '';
  }
}

/** State and parent of "PID (name) STATE PARENT …"; the name may contain any character, including a closing bracket. */
function statOf(pid: number): string[] {
  const stat = readProc(pid, 'stat');
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
}

function allPids(): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
}

function workingFolder(pid: number): string {
  try {
    return readlinkSync(`/proc/${pid}/cwd`);
  } catch {
    return '';
  }
}

function ps(pid: number, column: 'stat' | 'command'): string {
  try {
    return execFileSync('ps', ['-o', `${column}=`, '-p', String(pid)], { encoding: 'utf8' }).trim();
  } catch {
    return '';
  }
}
