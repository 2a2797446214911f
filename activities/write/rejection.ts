import type { RejectionMembers } from '../problem.ts';

/**
 * A definite business no: made by `context.reject` and thrown by an operation, rolled back to where its work began, and
 * stored as the outcome. `pointer` names the member of the request that it is about.
 */
export class Rejection extends Error {
  readonly code: string;
  readonly pointer: { readonly in: 'body' | 'path'; readonly pointer: string } | undefined;

  readonly more: RejectionMembers;

  constructor(
    code: string,
    detail: string,
    pointer?: `/${string}`,
    location: 'body' | 'path' = 'body',
    more: RejectionMembers = {},
  ) {
    super(detail);
    this.name = 'Rejection';
    this.code = code;
    this.pointer = pointer === undefined ? undefined : { in: location, pointer };
    this.more = more;
  }
}
