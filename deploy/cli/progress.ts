/** Progress of a long run on stderr: one rewritten line on a terminal, plain lines elsewhere. */
export type Progress = {
  update(line: string): void;
  /** Writes a line that stays. */
  done(line: string): void;
};

const TERMINAL_PAUSE_MS = 100;
const PLAIN_PAUSE_MS = 5_000;

export function createProgress(output: NodeJS.WriteStream = process.stderr): Progress {
  const pauseMs = output.isTTY ? TERMINAL_PAUSE_MS : PLAIN_PAUSE_MS;
  let lastAt = Number.NEGATIVE_INFINITY;
  const write = (line: string, end: string) => {
    output.write(output.isTTY ? `\r\x1b[2K${line}${end}` : `${line}\n`);
    lastAt = performance.now();
  };
  return {
    update(line) {
      if (performance.now() - lastAt >= pauseMs) write(line, '');
    },
    done: (line) => write(line, '\n'),
  };
}
