import type { z } from 'zod';
import type { Tx } from './database.ts';
import type { RejectionMembers } from './problem.ts';
import type { NumberKind } from './resources/document-number.ts';
import type { Role } from './roles.ts';
import type { SecurityFact } from './security/security-row.ts';

/**
 * A named kind of write. Routes, OpenAPI, contract tests, metrics labels, reference docs and demo traffic are all derived
 * from the list of these (`operation-list.ts`).
 */
export type Operation = {
  /** camelCase, stable for ever: it is part of every write ID. */
  readonly name: string;
  readonly type: OperationType;
  readonly summary: string;
  readonly description: string;
  readonly method: 'POST' | 'PATCH';
  /** With `:name` for each member of `params`. */
  readonly path: `/api/${string}`;
  readonly params: z.ZodObject;
  readonly body: z.ZodObject;
  /** Raised by one whenever `body` or `params` change; changes are additive. */
  readonly schemaVersion: number;
  readonly roles: readonly Role[];
  readonly successStatus: 200 | 201;
  readonly resource: ResourceType;
  /** The kind of the one event that each succeeded write records. */
  readonly event: string;
  /** For one attempt, where it may take longer than most. */
  readonly attemptLimitMs?: number;
  readonly effects: Effects;
  /** The counter whose numbers have no gap, if each success takes the next one. */
  readonly takesNumber?: NumberKind;
  readonly rejections: Readonly<Record<string, RejectionKind>>;
  /** Which rejection a constraint of the database stands for. */
  readonly constraints: Readonly<Record<string, string>>;
  /** They run as they are against the freshly seeded demo company. */
  readonly examples: readonly Example[];
  /** One line for people in the Temporal UI; never a person or a salary. */
  summarize(input: Input): string;
  /** The total of the document that it is about, or what it moves. Without it, no approval policy can ask for an amount. */
  approvalAmount?(written: Pick<Written, 'body' | 'moved'>): DocumentAmount;
  /** All reads and writes of the operation, in the transaction that it is given and nowhere else. */
  write(tx: Tx, input: Input, context: WriteContext<string>): Promise<Written>;
  /** With it, writes of one company share a transaction of a few statements (`write/run-set.ts`). */
  readonly set?: SetForm;
};

/**
 * The business of an operation in three steps, for one write or for several of one company in their order. Each write of a
 * set gets what it would get after those before it.
 */
export type SetForm<I = Input, State = unknown, Code extends string = string> = {
  /** Locks what the decisions rest on, in the order of IDs and parents first, and reads it in a later statement. */
  load(tx: Tx, companyId: string, inputs: readonly I[]): Promise<State>;
  /** Decides one write and notes it in `state`, without any I/O. A rejection is thrown before `state` is touched. */
  decide(
    state: State,
    input: I,
    context: WriteContext<Code>,
  ): Omit<Written, 'security'> & { readonly security?: never };
  /**
   * Sends what was decided in a few statements, without waiting for them. Numbers are taken in the last of them, in the order
   * of the decisions.
   */
  apply(tx: Tx, companyId: string, state: State): readonly Promise<unknown>[];
};

export type OperationType = 'financial' | 'high-risk';

/** The total of a document, in its own currency. */
export type DocumentAmount = { readonly amount: bigint; readonly currency: string };
export type Input = { readonly params: Record<string, unknown>; readonly body: Record<string, unknown> };

/**
 * What an operation answers with. `reads` is the collection's path: the resource is at `{reads}/{id}`. `schema` is its
 * form in answers, for the documents; members may be added to it, never taken away.
 */
export type ResourceType = { readonly type: string; readonly reads: `/api/${string}`; readonly schema: z.ZodObject };

/** What a success leaves behind, besides the record of the write. */
type Effects = {
  /** The table of the row that has the write's ID. Without one, the operation only changes what is there. */
  readonly makes?: string;
} & (
  | { readonly posts: 'never' }
  /** `entry` and `dated` say in words what the one entry is, for the page of the books. */
  | { readonly posts: 'always' | 'sometimes'; readonly entry: string; readonly dated: string }
);

/** The kind of event that starts a registered workflow (`registered-workflows.ts`). */
export const WORKFLOW_TRIGGERED = 'workflow.triggered';

export type RejectionKind = {
  readonly status: 403 | 404 | 409 | 422;
  readonly title: string;
  readonly nextAction?: 'use_new_key' | 'fix_request';
  /** The member of the request that it is about, where a constraint of the database stands for it. */
  readonly about?: { readonly in: 'body' | 'path'; readonly pointer: `/${string}` };
  /** Where such a constraint is a trigger of ours, whose words are the detail: they say more than the title does. */
  readonly toldByDatabase?: true;
};

export type Example = {
  readonly name: string;
  readonly summary: string;
  readonly params: Readonly<Record<string, string>>;
  readonly body: Readonly<Record<string, unknown>>;
};

/**
 * What `write` knows of its write. `Code` is what it may be rejected with: a function that takes a
 * `WriteContext<'period_closed'>` is only called by an operation that declares `period_closed`.
 */
export type WriteContext<Code extends string = never> = {
  readonly companyId: string;
  readonly userId: string;
  readonly operation: string;
  /** The ID of the write and of the main row that it makes. */
  readonly writeId: string;
  /** Of the request that opened the submission: the one in the write's row and its audit row. */
  readonly requestId: string;
  /** Who gave the last approval that the write needed; null where no policy asks for one. */
  readonly approvedBy: string | null;
  /** Local use only: webhooks may go to private addresses, over http and to any port. */
  readonly allowPrivateWebhooks: boolean;
  /** All that this process knows. */
  readonly operations: readonly Pick<Operation, 'name' | 'approvalAmount'>[];
  /** The ID of a further row, by table and position. */
  rowId(table: string, position: number): string;
  /**
   * A definite no, to be thrown: the operation's work is rolled back, and the answer is stored as the outcome. `pointer`
   * names the member of the request that it is about; `more` are further members of the problem.
   */
  readonly reject: (
    code: Code,
    detail: string,
    pointer?: `/${string}`,
    location?: 'body' | 'path',
    more?: RejectionMembers,
  ) => Error;
};

/** Enforced by the database under the code's own name: an operation that declares this rejection maps the constraint, too. */
export type RuleOfTheLedger = 'period_closed' | 'date_too_late';

export type Written = {
  readonly resourceId: string;
  /**
   * The resource, as the answer's body carries it. With {@link NUMBER_TO_COME} as its `number`, the end of the transaction
   * fills in the number of the kind `takesNumber` that the row of this write has been given.
   */
  readonly body: Readonly<Record<string, unknown>>;
  /** Where the resource is, when that is not `{reads}/{resourceId}`. */
  readonly location?: `/api/${string}`;
  /** What the write moves, where `approvalAmount` cannot read it from the body. */
  readonly moved?: DocumentAmount;
  /** Further members of the event's payload. */
  readonly eventPayload?: Readonly<Record<string, unknown>>;
  readonly auditMetadata?: Readonly<Record<string, unknown>>;
  /** What the security log is told in the same transaction. Not in the form for sets, whose statements do not carry it. */
  readonly security?: readonly SecurityFact[];
};

/**
 * Types `summarize` and `write` from the schemas and rejections: their input, and the codes that `write` may be rejected
 * with. `forbidden` needs no declaration, since every operation has it.
 */
export function defineOperation<P extends z.ZodObject, B extends z.ZodObject, Code extends string>(
  operation: Declaration<P, B, Code> & {
    write(tx: Tx, input: InputOf<P, B>, context: WriteContext<NoInfer<Code> | 'forbidden'>): Promise<Written>;
  },
): Operation {
  // The input is parsed by `params` and `body` before either function sees it: parseInput below is the only way in.
  return operation as unknown as Operation;
}

/**
 * The same for an operation in its form for sets, from which `write` follows. Its event cannot be
 * {@link WORKFLOW_TRIGGERED}: `finish_writes` records in the audit log that no write of a set triggers a workflow.
 */
export function defineSetOperation<
  P extends z.ZodObject,
  B extends z.ZodObject,
  Code extends string,
  State,
  Event extends string,
>(
  operation: Declaration<P, B, Code> & {
    readonly event: Event & (Event extends typeof WORKFLOW_TRIGGERED ? never : unknown);
    readonly set: SetForm<InputOf<P, B>, State, NoInfer<Code> | 'forbidden'>;
  },
): Operation {
  const set = operation.set as unknown as SetForm;
  return {
    ...(operation as unknown as Operation),
    async write(tx, input, context) {
      const state = await set.load(tx, context.companyId, [input]);
      const written = set.decide(state, input, context);
      await Promise.all(set.apply(tx, context.companyId, state));
      return written;
    },
  };
}

type InputOf<P extends z.ZodObject, B extends z.ZodObject> = {
  readonly params: z.output<P>;
  readonly body: z.output<B>;
};

type Declaration<P extends z.ZodObject, B extends z.ZodObject, Code extends string> = Omit<
  Operation,
  'params' | 'body' | 'rejections' | 'constraints' | 'write' | 'summarize' | 'set'
> & {
  readonly params: P;
  readonly body: B;
  readonly rejections: Readonly<Record<Code, RejectionKind>>;
  readonly constraints: Readonly<Record<string, NoInfer<Code>>> & {
    readonly [Rule in Extract<NoInfer<Code>, RuleOfTheLedger>]: Rule;
  };
  summarize(input: InputOf<P, B>): string;
};

/** What the Temporal UI calls a write. Temporal limits it to 200 bytes. */
export function summaryOf(
  operations: readonly Operation[],
  { operation: name, input }: { readonly operation: string; readonly input: Input },
): string {
  return (operations.find((operation) => operation.name === name)?.summarize(input) ?? name).slice(0, 200);
}

/** Parses wire form by today's schema; throws a ZodError where it does not fit. */
export function parseInput(operation: Operation, wire: { readonly params: unknown; readonly body: unknown }): Input {
  return { params: operation.params.parse(wire.params), body: operation.body.parse(wire.body) };
}
