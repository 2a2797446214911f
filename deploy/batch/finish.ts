import { printed, printedJson } from '../cli/printed.ts';
import { errorText } from '../client/src/error-text.ts';
import { EXIT, Refused, Unfinished } from './ends.ts';

/** What a command came to: an exit code, and what it prints. */
export type End = {
  readonly exitCode: number;
  readonly text: string;
  /** Members of the object that `--json` prints, beside `exitCode`. */
  readonly json: object;
};

/** Runs a command to its end. Only its result goes to stdout; with `json`, that is one object, whatever the end. */
export async function finish({ json }: { readonly json?: true }, work: () => Promise<End>): Promise<void> {
  let end: End;
  try {
    end = await work();
    if (!json && end.text !== '') console.log(printed(end.text));
  } catch (error) {
    end = endOf(error);
    console.error(printed(end.text));
  }
  process.exitCode = end.exitCode;
  if (json) console.log(printedJson({ exitCode: end.exitCode, ...end.json }));
}

function endOf(error: unknown): End {
  const text = errorText(error);
  const exitCode = error instanceof Unfinished ? EXIT.unfinished : EXIT.refused;
  const problem = error instanceof Refused ? (error.problem ?? null) : null;
  return { exitCode, text, json: { message: text, problem } };
}
