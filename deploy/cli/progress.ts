import { printedLine } from './printed.ts';

/** Progress of a long run on stderr: one rewritten line on a terminal, plain lines elsewhere. */
export type Progress = {
  update(line: string): void;
  /** Writes a line that stays. */
  done(line: string): void;
};

export type ClearableProgress = Progress & {
  /** Takes the line away that would be rewritten next; before something else is printed. */
  clear(): void;
};

const TERMINAL_PAUSE_MS = 100;
const PLAIN_PAUSE_MS = 5_000;

export function createProgress(output: NodeJS.WriteStream = process.stderr): ClearableProgress {
  const pauseMs = output.isTTY ? TERMINAL_PAUSE_MS : PLAIN_PAUSE_MS;
  let lastAt = Number.NEGATIVE_INFINITY;
  const write = (text: string, end: string) => {
    const line = printedLine(text);
    output.write(output.isTTY ? `\r\x1b[2K${line}${end}` : `${line}\n`);
    lastAt = performance.now();
  };
  return {
    update(line) {
      if (performance.now() - lastAt >= pauseMs) write(line, '');
    },
    done: (line) => write(line, '\n'),
    clear() {
      if (output.isTTY) output.write('\r\x1b[2K');
    },
  };
}

const BAR_WIDTH = 24;

export function bar(done: number, total: number): string {
  const filled = Math.floor((Math.min(done, total) / Math.max(total, 1)) * BAR_WIDTH);
  return `[${'='.repeat(filled)}${' '.repeat(BAR_WIDTH - filled)}]`;
}

/** `12,345` */
export function shown(count: number): string {
  return Math.round(count).toLocaleString('en');
}
