import { readFileSync, statfsSync } from 'node:fs';
import { freemem, tmpdir } from 'node:os';
import { openThrowawayFolder, type ThrowawayFolder } from '../../deploy/local/throwaway-folder.ts';

/** Linux mounts a file system in memory there. */
const MEMORY = '/dev/shm';
/** Several times what all servers of a run have in their files at once. */
const ENOUGH_BYTES = 3 * 1024 ** 3;

/**
 * For the files of servers that a run starts and throws away: in memory, where there is plenty of it. A clone of the
 * template is 800 files, and the file system of a disk may take half a second of CPU to create and remove them.
 */
export function openServerFolder(): ThrowawayFolder {
  return openThrowawayFolder(hasMemory() ? MEMORY : tmpdir());
}

function hasMemory(): boolean {
  // Whoever says where temporary files belong has a reason.
  if (process.platform !== 'linux' || process.env['TMPDIR'] !== undefined) return false;
  const mount = readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .map((line) => line.split(' '))
    .findLast(([, path]) => path === MEMORY);
  const [, , type, options = ''] = mount ?? [];
  // Some machines, containers above all, allow a few MB there, or no programs: the wrapper of a server is one.
  if (type !== 'tmpfs' || options.split(',').some((one) => one === 'noexec' || one === 'ro')) return false;
  const { bavail, bsize } = statfsSync(MEMORY);
  return bavail * bsize >= ENOUGH_BYTES && freemem() >= ENOUGH_BYTES;
}
