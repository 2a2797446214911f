import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { Refused } from '../../deploy/batch/ends.ts';
import { finish } from '../../deploy/batch/finish.ts';
import { printResults } from '../../deploy/batch/results.ts';
import type { Batches } from '../../deploy/batch/session.ts';
import { command, run } from '../../deploy/cli/command.ts';
import { printed } from '../../deploy/cli/printed.ts';
import { createProgress } from '../../deploy/cli/progress.ts';

/** Clears the screen; in one character and in two, of which a terminal takes either. */
const HOSTILE = 'a\u001b[2Jb\u009b2Jc\u007f';
const HARMLESS = 'a\uFFFD[2Jb\uFFFD2Jc\uFFFD';

describe('a command prints text of a file or an answer without its control characters', () => {
  afterEach(() => {
    vi.restoreAllMocks();
    process.exitCode = undefined;
  });

  function written(isTTY: boolean) {
    const output = Object.assign(new PassThrough(), { isTTY });
    return { output: output as unknown as NodeJS.WriteStream, end: () => text(output.end()) };
  }

  test('in lines of its progress, whose end is theirs', async () => {
    const { output, end } = written(false);
    createProgress(output).done(`${HOSTILE}\nline 1: forged`);
    expect(await end()).toBe(`${HARMLESS}\uFFFDline 1: forged\n`);
  });

  test('at its end, good or bad', async () => {
    const said = vi.spyOn(console, 'log').mockReturnValue();
    const failed = vi.spyOn(console, 'error').mockReturnValue();
    await finish({}, async () => ({ exitCode: 0, text: `${HOSTILE}\nsecond`, json: {} }));
    await finish({}, () => Promise.reject(new Refused(HOSTILE)));
    await run(
      command('test', 'Fails.')
        .action(() => Promise.reject(new Error(HOSTILE)))
        .exitOverride(),
    );
    expect(said.mock.calls).toEqual([[`${HARMLESS}\nsecond`]]);
    expect(failed.mock.calls).toEqual([[HARMLESS], [HARMLESS]]);
  });

  test('in results on a terminal; a pipe gets them as they are', async () => {
    const page = `1,${HOSTILE}\r\n2,over\rwritten\r\n`;
    const batches = {
      async *resultsText() {
        yield page;
      },
    } as unknown as Batches;
    const { signal } = new AbortController();
    for (const [isTTY, expected] of [
      [true, `1,${HARMLESS}\r\n2,over\uFFFDwritten\r\n`],
      [false, page],
    ] as const) {
      const { output, end } = written(isTTY);
      await printResults({ batches, signal }, 'b', 'csv', output);
      expect(await end()).toBe(expected);
    }
  });

  test('and otherwise as it is, of any length', () => {
    const plain = `Übung 日本 — ${'x'.repeat(1_000)}\n\n  indented`;
    expect(printed(plain)).toBe(plain);
  });
});
