import type { WriteArguments } from '../../workflows/messages.ts';
import { type ApprovalPolicy, demandsOf } from '../approvals/policies.ts';
import { crashPoint } from '../crash-points.ts';
import { type Tx, transaction } from '../database.ts';
import { type Input, type Operation, parseInput, type SetForm, type WriteContext } from '../operation.ts';
import { documentNumber } from '../resources/document-number.ts';
import { holdsOneOf } from '../roles.ts';
import type { Turn } from '../shares.ts';
import { type Finish, rejectionOf, roleRevoked, successOf } from './finish.ts';
import { Rejection } from './rejection.ts';
import { type AttemptFacts, contextOf, type RunDependencies } from './run-operation.ts';
import type { WriteRow } from './write-row.ts';

export type SetOperation = Operation & { readonly set: SetForm };

/** It has the form for sets; a write of a later schema is left to a release that knows it. */
export function canShareSet(operation: Operation | undefined, schemaVersion: number): operation is SetOperation {
  return operation?.set !== undefined && schemaVersion <= operation.schemaVersion;
}

/** An item of a set; no two of them have the same key. */
export type SetItem = { readonly args: WriteArguments; readonly writeId: string };

/**
 * The transaction of a set: writes of one company and one operation, in two round trips. It leaves what the same writes
 * leave one by one in this order.
 *
 * Returns the row of each write whose key it claimed; the others have a row already. Throws for whatever stands in the way
 * of one item. Then nothing is known of any of them (a lost COMMIT may have happened), and each goes on by itself. Throws
 * {@link SetNeedsApprovals} where a policy matches some of them: nothing was left of the set.
 */
export async function runSet(
  dependencies: RunDependencies,
  operation: SetOperation,
  items: readonly SetItem[],
  facts: Omit<AttemptFacts, 'writeId'>,
  turn: Omit<Turn, 'companyId'>,
): Promise<ReadonlyMap<SetItem, WriteRow>> {
  const { set } = operation;
  const companyId = companyOf(items);
  const isShared = items.length > 1;
  const members = items.map((item) => ({
    item,
    input: parseInput(operation, item.args.input),
    context: contextOf(item.args, item.writeId, dependencies),
  }));
  const { finished, ending } = await transaction(
    dependencies.database.writes,
    async (tx) => {
      const [claim, state] = await Promise.all([
        claimWrites(tx, operation, companyId, items, facts),
        set.load(
          tx,
          companyId,
          members.map(({ input }) => input),
        ),
      ]);
      const claimed = members.filter(({ item }) => claim.keys.has(item.args.key));
      const finished = counted(decideAll(operation, state, claimed, claim));
      if (finished.length === 0) return { finished, ending: undefined };
      // Not awaited: COMMIT travels with them in the second and last round trip, and the transaction reports their errors.
      const applied = set.apply(tx, companyId, state);
      const ending = finishWrites(tx, operation, companyId, finished);
      crashPoint(isShared ? 'set: before COMMIT' : 'transaction: before COMMIT');
      for (const answer of [...applied, ending]) answer.catch(() => undefined);
      return { finished, ending };
    },
    { companyId, ...turn },
  );
  if (ending === undefined) return new Map();
  crashPoint(isShared ? 'set: after COMMIT' : 'transaction: after COMMIT');
  const ended = await ending;
  return new Map(finished.map((one) => [one.item, rowOf(operation, one, ended, facts)]));
}

function companyOf(items: readonly SetItem[]): string {
  const companies = new Set(items.map(({ args }) => args.companyId));
  const [companyId] = companies;
  if (companyId === undefined || companies.size > 1) throw new Error('Bug! A set is of one company');
  return companyId;
}

/** Some writes of a set need approvals, and so runs of their own. The others can be a set without them. */
export class SetNeedsApprovals extends Error {
  readonly items: ReadonlySet<SetItem>;

  constructor(items: readonly SetItem[]) {
    super('Writes of the set need approvals');
    this.name = 'SetNeedsApprovals';
    this.items = new Set(items);
  }
}

type Claim = {
  readonly keys: ReadonlySet<string>;
  readonly policies: readonly ApprovalPolicy[];
  /** By user, as they are now. */
  readonly roles: ReadonlyMap<string, readonly string[]>;
};

async function claimWrites(
  tx: Tx,
  operation: Operation,
  companyId: string,
  items: readonly SetItem[],
  facts: Omit<AttemptFacts, 'writeId'>,
): Promise<Claim> {
  const found = await tx.query<{
    claimed_key: string | null;
    member_id: string | null;
    member_roles: string[] | null;
    policies: ApprovalPolicy[] | null;
  }>(
    `SELECT c.claimed_key, c.member_id, c.member_roles, c.policies
     FROM claim_writes(
       p_company => $1, p_operation => $2, p_type => $3, p_workflow_id => $4, p_requested_at => $5, p_items => $6,
       p_version => $7, p_approvals => true
     ) AS c`,
    [
      companyId,
      operation.name,
      operation.type,
      facts.workflowId,
      facts.requestedAt,
      JSON.stringify(
        items.map(({ args, writeId }) => ({
          key: args.key,
          write_id: writeId,
          submission_id: args.submissionId,
          fingerprint: args.fingerprint,
          schema_version: args.schemaVersion,
          request: args.input,
          user_id: args.actor.userId,
          request_id: args.request.id,
        })),
      ),
      facts.trust?.version ?? null,
    ],
  );
  return {
    keys: new Set(found.flatMap(({ claimed_key }) => claimed_key ?? [])),
    policies: found.find(({ policies }) => policies !== null)?.policies ?? [],
    roles: new Map(
      found.flatMap(({ member_id, member_roles }) => (member_id ? [[member_id, member_roles ?? []]] : [])),
    ),
  };
}

type SetMember = { readonly item: SetItem; readonly input: Input; readonly context: WriteContext<string> };

function decideAll(operation: SetOperation, state: unknown, members: readonly SetMember[], claim: Claim) {
  const ends = members.map((member) => ({ item: member.item, end: decide(operation, state, member, claim) }));
  const waiting = ends.filter(({ end }) => end === 'needs approval');
  if (waiting.length > 0) throw new SetNeedsApprovals(waiting.map(({ item }) => item));
  return ends as { readonly item: SetItem; readonly end: Finish }[];
}

/** The end of one write, after those before it. */
function decide(
  operation: SetOperation,
  state: unknown,
  { item: { args }, input, context }: SetMember,
  { roles, policies }: Claim,
): Finish | 'needs approval' {
  if (!holdsOneOf(roles.get(args.actor.userId) ?? [], operation.roles)) {
    return rejectionOf(operation, args, roleRevoked());
  }
  try {
    const written = operation.set.decide(state, input, context);
    if (demandsOf(policies, operation, written) !== undefined) return 'needs approval';
    return successOf(operation, args, context, written);
  } catch (error) {
    if (error instanceof Rejection) return rejectionOf(operation, args, error);
    throw error;
  }
}

/** `nth`: its place among those of the set that wait for a number, from 1. */
type Finished = { readonly item: SetItem; readonly end: Finish; readonly nth: number | undefined };

function counted(finished: readonly Omit<Finished, 'nth'>[]): Finished[] {
  let numbers = 0;
  return finished.map((one) => {
    if (one.end.toCome !== undefined) numbers += 1;
    return { ...one, nth: one.end.toCome && numbers };
  });
}

type Ended = {
  readonly completedAt: string;
  /** The number before the first that the set has taken. */
  readonly takenBefore: number;
};

/** Fills in the numbers that the rows have been given. Every deferred constraint is checked in it. */
async function finishWrites(
  tx: Tx,
  operation: Operation,
  companyId: string,
  finished: readonly Finished[],
): Promise<Ended> {
  const numbers = finished.filter(({ nth }) => nth !== undefined).length;
  const [done] = await tx.query<{ completed: string; last_number: number | null }>(
    `SELECT f.completed, f.last_number FROM finish_writes(
       p_company => $1, p_operation => $2, p_type => $3, p_resource_type => $4, p_event_kind => $5, p_items => $6,
       p_number_kind => $7, p_numbers => $8
     ) AS f`,
    [
      companyId,
      operation.name,
      operation.type,
      operation.resource.type,
      operation.event,
      JSON.stringify(
        finished.map(({ item: { args, writeId }, end, nth }) => ({
          key: args.key,
          write_id: writeId,
          user_id: args.actor.userId,
          request_id: args.request.id,
          outcome: end.outcome,
          status_code: end.statusCode,
          body: end.body,
          rest: end.toCome?.rest,
          nth,
          location: end.location,
          resource_id: end.resource?.id,
          error_code: end.error?.code,
          error_message: end.error?.message,
          route_path: args.request.path,
          http_method: args.request.method,
          event_id: end.event?.id,
          event_payload: end.event?.payload,
          audit_metadata: end.auditMetadata,
        })),
      ),
      operation.takesNumber ?? null,
      numbers,
    ],
  );
  if (done === undefined) throw new Error('Bug! A function returned no row');
  return { completedAt: done.completed, takenBefore: (done.last_number ?? 0) - numbers };
}

/** The row as the database has it now, without another round trip. */
function rowOf(
  operation: Operation,
  { item: { args, writeId }, end, nth }: Finished,
  { completedAt, takenBefore }: Ended,
  facts: Omit<AttemptFacts, 'writeId'>,
): WriteRow {
  const { toCome } = end;
  const rest = toCome && nth ? documentNumber(toCome.kind, takenBefore + nth) + toCome.rest : '';
  return {
    company_id: args.companyId,
    idempotency_key: args.key,
    write_id: writeId,
    submission_id: args.submissionId,
    operation: operation.name,
    type: operation.type,
    fingerprint: args.fingerprint,
    schema_version: args.schemaVersion,
    request: args.input,
    outcome: end.outcome,
    status_code: end.statusCode,
    response_body: Buffer.from(end.body + rest),
    location: end.location ?? null,
    resource_type: end.resource?.type ?? null,
    resource_id: end.resource?.id ?? null,
    user_id: args.actor.userId,
    request_id: args.request.id,
    workflow_id: facts.workflowId,
    attempt: facts.attempt,
    requested_at: facts.requestedAt,
    completed_at: completedAt,
  };
}
