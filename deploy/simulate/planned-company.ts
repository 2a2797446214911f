import { POLICIES } from './requests/approvals.ts';
import type { Actor, Books } from './requests/books.ts';
import type { GeneratedRequest } from './requests/generate.ts';
import type { Answer } from './requests/operation-model.ts';

/** One company of the run, as far as it is planned. */
export type PlannedCompany = {
  /** Its place among those of the run. */
  readonly company: number;
  readonly books: Books;
  /** The step that created or last changed the resource with this name. */
  readonly changedBy: Map<string, number>;
  /** By operation: the step that last changed its policies, and the steps since that may have been the first with their key. */
  readonly policed: Map<string, { readonly by: readonly number[]; readonly since: number[] }>;
  writes: number;
};

export function plannedCompany(company: number, books: Books): PlannedCompany {
  return { company, books, changedBy: new Map(), policed: new Map(), writes: 0 };
}

/** The steps that a request waits for: those that made or changed what it names and what its answer rests on. */
export function stepsBehind(own: PlannedCompany, { actor, operation, request }: GeneratedRequest, answer: Answer) {
  const names = [own.books.userIds[actor] ?? '', ...textsIn(request), ...(answer.restsOn ?? [])];
  const policies = own.policed.get(operation.name)?.by ?? [];
  return [...new Set([...names.flatMap((name) => changesOf(own, name)), ...policies])];
}

/** Of a person: the last that changed what they may do. */
export function changesOf({ books, changedBy }: PlannedCompany, name: string): readonly number[] {
  const step = changedBy.get(name) ?? changedBy.get(writeOf(books, name));
  return step === undefined ? [] : [step];
}

/** The write that created the bank line or entry with that ID. */
function writeOf({ bankLines, entries }: Books, id: string): string {
  return (bankLines.get(id) ?? entries.get(id))?.writeId ?? '';
}

function textsIn(value: unknown): readonly string[] {
  if (typeof value === 'string') return [value];
  return typeof value === 'object' && value !== null ? Object.values(value).flatMap(textsIn) : [];
}

/** What that person may do does not change before the step. */
export function keepRoles({ books, changedBy }: PlannedCompany, actor: Actor, step: number): void {
  if (books.limits.changing.includes(actor)) changedBy.set(books.userIds[actor] ?? '', step);
}

/** Whether a write waits is decided when it is attempted: the policies for it change only before it or after it. */
export function noteAttempts({ policed }: PlannedCompany, operation: string, steps: readonly number[]): void {
  const { by, since } = policed.get(operation) ?? { by: [], since: [] };
  policed.set(operation, { by, since: [...since, ...steps] });
}

/** Of a request that changes the policies: the operations that this concerns. */
export function concernedBy(books: Books, { operation, request }: GeneratedRequest, answer: Answer): readonly string[] {
  if (operation.name !== POLICIES || answer.apply === undefined) return [];
  const policies: readonly { readonly operation: string }[] = [...books.policies.all, ...request.body.policies];
  return [...new Set(policies.map((policy) => policy.operation))];
}

/** What was attempted under the policies of before. */
export function attemptsOf({ policed }: PlannedCompany, operations: readonly string[]): readonly number[] {
  return operations.flatMap((operation) => policed.get(operation)?.since ?? []);
}

export function notePolicies({ policed }: PlannedCompany, operations: readonly string[], step: number): void {
  for (const operation of operations) policed.set(operation, { by: [step], since: [] });
}
