import { inject } from 'vitest';

declare module 'vitest' {
  interface ProvidedContext {
    readonly form: 'short' | 'long';
  }
}

/**
 * Each test in test/slow itself has two forms with the same promise: `npm test` runs the short one, `npm run test:slow` the
 * long one (and what is in test/slow/long, which has no other). This is the number of repetitions, the time limit or the list of cases of the form that runs now.
 */
export function inForm<T>(forms: { readonly short: T; readonly long: T }): T {
  return forms[inject('form')];
}

/**
 * Tells a property, at the beginning of each of its runs, whether its time is over. Unlike fast-check's own limit it never
 * leaves a run behind that goes on while the test has ended.
 */
export function timeLimit(ms: number): () => boolean {
  const deadline = performance.now() + ms;
  return () => performance.now() > deadline;
}
