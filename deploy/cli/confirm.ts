import { createInterface } from 'node:readline/promises';

/**
 * Asks on the terminal for a word to be typed, so that nothing happens by a stray Enter. Throws when it is not the word,
 * and where there is no terminal: there the option that `instead` names is needed.
 */
export async function confirm(question: string, word: string, instead: string): Promise<void> {
  if (!process.stdin.isTTY) throw new Error(`There is no terminal to ask on. Give ${instead}.`);
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    const typed = await terminal.question(`${question}\nType ${word} to go on: `);
    if (typed.trim() !== word) throw new Error('That is not it. Nothing was done.');
  } finally {
    terminal.close();
  }
}
