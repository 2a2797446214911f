import { existsSync, readdirSync, readFileSync } from 'node:fs';

/** Linux reports CPU time in ticks of 1/100 s, whatever the kernel's timer frequency. */
const MS_PER_TICK = 10;

type Process = { readonly pid: number; readonly parent: number; readonly cpuMs: number };

/**
 * The CPU time that each process has used so far, in milliseconds: its own, its descendants', and that of its exited
 * children, such as PostgreSQL's backends. Undefined without /proc.
 */
export function cpuOf<Name extends string>(pids: Readonly<Record<Name, number>>): Record<Name, number> | undefined {
  if (!existsSync('/proc/self/stat')) return undefined;
  const processes = readProcesses();
  const used = (pid: number): number =>
    processes.reduce((sum, process) => {
      if (process.pid === pid) return sum + process.cpuMs;
      return process.parent === pid ? sum + used(process.pid) : sum;
    }, 0);
  const names = Object.keys(pids) as Name[];
  return Object.fromEntries(names.map((name) => [name, used(pids[name])])) as Record<Name, number>;
}

function readProcesses(): Process[] {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  return pids.flatMap((pid) => readProcess(Number(pid)) ?? []);
}

function readProcess(pid: number): Process | undefined {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  } catch {
    return undefined; // It has just exited.
  }
  // "PID (name) STATE PPID …", proc(5); the name may contain any character, including a closing bracket.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const [, parent, , , , , , , , , , user, system, endedUser, endedSystem] = fields.map(Number);
  const ticks = (user ?? 0) + (system ?? 0) + (endedUser ?? 0) + (endedSystem ?? 0);
  return { pid, parent: parent ?? 0, cpuMs: ticks * MS_PER_TICK };
}
