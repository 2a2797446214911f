import { readFileSync } from 'node:fs';

const LINES = 8;

/** Where it is and its last lines, for a message about the process that wrote it. */
export function logTail(file: string): string {
  const lines = readFileSync(file, 'utf8').trimEnd().split('\n').slice(-LINES);
  return `The end of ${file}:\n${lines.join('\n')}`;
}
