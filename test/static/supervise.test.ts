import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { endProcess } from '../../deploy/local/processes.ts';
import { type Service, supervise } from '../../deploy/local/supervise.ts';
import { openThrowawayFolder } from '../../deploy/local/throwaway-folder.ts';
import { until } from '../support/held-invoice.ts';

const GRACE_MS = 5_000;

/** A service that only sleeps; each start is another process. */
async function supervised() {
  const folder = openThrowawayFolder();
  const logFile = join(folder.path, 'log');
  writeFileSync(logFile, '');
  const seen = { starts: 0, restarted: 0, gaveUp: 0 };
  const service: Service = {
    name: 'sleeper',
    logFile,
    async start() {
      seen.starts += 1;
      const pid = spawn('sleep', ['60'], { stdio: 'ignore' }).pid as number;
      return { pid, stop: () => endProcess(pid, GRACE_MS) };
    },
  };
  const kept = await supervise(service, {
    restarted() {
      seen.restarted += 1;
    },
    gaveUp() {
      seen.gaveUp += 1;
    },
    log: () => undefined,
  });
  onTestFinished(async () => {
    await kept.stop();
    folder.remove();
  });
  return { kept, seen };
}

describe('a supervised process', () => {
  test('that dies is started again', async () => {
    const { kept, seen } = await supervised();
    const first = kept.pid();
    process.kill(first, 'SIGKILL');
    await until('the next one', async () => seen.restarted === 1);
    expect(kept.pid()).not.toBe(first);
  });

  test('is started anew on demand as often as the source changes: that is no death', async () => {
    const { kept, seen } = await supervised();
    for (let times = 1; times <= 6; times += 1) {
      const before = kept.pid();
      await Promise.all([kept.restart(), kept.restart()]); // Two changes at once are one.
      expect(kept.pid()).not.toBe(before);
    }
    expect(seen).toEqual({ starts: 7, restarted: 6, gaveUp: 0 });
  });
});
