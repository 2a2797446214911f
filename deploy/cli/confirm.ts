import { createInterface } from 'node:readline/promises';

/**
 * Requires the user to type a word on the terminal, so that a stray Enter confirms nothing. Throws on any other input, and
 * when there is no terminal: scripts must use the option that `instead` names.
 */
export async function confirm(question: string, word: string, instead: string): Promise<void> {
  if (!process.stdin.isTTY) throw new Error(`Cannot ask for confirmation without a terminal: use ${instead}.`);
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    const typed = await terminal.question(`${question}\nType ${word} to continue: `);
    if (typed.trim() !== word) throw new Error('The input does not match. Nothing was done.');
  } finally {
    terminal.close();
  }
}

/** Asks for a text on the terminal. Throws when there is no terminal: scripts must use the option that `instead` names. */
export async function askFor(question: string, instead: string): Promise<string> {
  if (!process.stdin.isTTY) throw new Error(`Cannot ask without a terminal: use ${instead}.`);
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return await terminal.question(`${question} `);
  } finally {
    terminal.close();
  }
}
