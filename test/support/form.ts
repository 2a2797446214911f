import { inject } from 'vitest';

declare module 'vitest' {
  interface ProvidedContext {
    readonly form: 'short' | 'long';
  }
}

/**
 * Each test in test/slow has two forms with the same promise: `npm test` runs the short one, `npm run test:slow` the long
 * one. This is the number of repetitions, the time limit or the list of cases of the form that runs now.
 */
export function inForm<T>(forms: { readonly short: T; readonly long: T }): T {
  return forms[inject('form')];
}
