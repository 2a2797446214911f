import type { Answer } from './client.ts';

/** What a refusal says: status, code, detail, and the members of the request that it is about. */
export function said({ status, json: { code, detail, errors } }: Answer): readonly unknown[] {
  return [status, code, detail, errors?.map((error: Pointer) => `${error.in} ${error.pointer}`)];
}

type Pointer = { readonly in: string; readonly pointer: string };
