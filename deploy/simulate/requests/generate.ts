import { writeId } from '../../../activities/identity.ts';
import type { Operation } from '../../../activities/operation.ts';
import { OPERATIONS } from '../../../activities/operation-list.ts';
import { holdsOneOf, type Role } from '../../../activities/roles.ts';
import { BANK } from './bank.ts';
import type { Actor, Books } from './books.ts';
import { COMPANY, WORKFLOWS } from './company.ts';
import { CREDIT_NOTES } from './credit-notes.ts';
import { INVENTORY } from './inventory.ts';
import { INVOICES } from './invoices.ts';
import { LEDGER } from './ledger.ts';
import type { Answer, OperationModel, Request } from './operation-model.ts';
import { PAYMENTS } from './payments.ts';
import { PAYROLL } from './payroll.ts';
import type { Random } from './random.ts';
import { UPDATES } from './updates.ts';
import { WRITE_OFFS } from './write-offs.ts';

/** In the order in which a new company can do them. */
const MODELS: Readonly<Record<string, OperationModel>> = {
  ...COMPANY,
  ...INVOICES,
  ...PAYMENTS,
  ...CREDIT_NOTES,
  ...WRITE_OFFS,
  ...LEDGER,
  ...BANK,
  ...PAYROLL,
  ...INVENTORY,
  ...UPDATES,
  ...WORKFLOWS,
};

/** The operations that requests can be made of, and how often each is requested. */
export const OPERATION_WEIGHTS = Object.entries(MODELS).map(([name, { weight }]) => [name, weight] as const);

/** Operations that no requests are made of. */
export function operationsWithoutRequests(operations: readonly Pick<Operation, 'name'>[] = OPERATIONS): string[] {
  return operations.map(({ name }) => name).filter((name) => MODELS[name] === undefined);
}

/** The operation, or the one that has to come before it while there is nothing that it could work on. */
export function nextOperation(books: Books, wanted: string, random: Random): string {
  const prerequisite = random.unusual(0.03) ? undefined : modelOf(wanted).prerequisite?.(books);
  return prerequisite === undefined ? wanted : nextOperation(books, prerequisite, random);
}

export type GeneratedRequest = {
  readonly operation: Operation;
  readonly actor: Actor;
  readonly request: Required<Request>;
  readonly path: string;
};

/** A request that fits the books; now and then one that they refuse. */
export function generateRequest(books: Books, name: string, actor: Actor, random: Random): GeneratedRequest {
  const operation = OPERATIONS.find((one) => one.name === name);
  if (operation === undefined) throw new Error(`Bug! No operation ${name}`);
  const { target = '', body } = modelOf(name).request(books, random);
  const path = operation.path.replace(/:\w+/, encodeURIComponent(target));
  return { operation, actor, request: { target, body }, path };
}

/** How it is answered under that key, the books being as they are. */
export function expectAnswer(books: Books, { operation, actor, request }: GeneratedRequest, key: string): Answer {
  if (!books.members.has(actor)) return { status: 403, code: 'not_a_member' };
  if (!isAllowed(books, operation, actor)) return { status: 403, code: 'forbidden' };
  const id = writeId(books.companyId, operation.name, key);
  return modelOf(operation.name).answer(books, request, { operation: operation.name, id, actor });
}

/** Who is not is refused before there is a write: nothing is stored, and the same may be answered otherwise later. */
export function isAllowed({ members }: Books, { roles }: Operation, actor: Actor): boolean {
  return holdsOneOf(members.get(actor) ?? [], roles as readonly Role[]);
}

function modelOf(name: string): OperationModel {
  const model = MODELS[name];
  if (model === undefined) throw new Error(`Bug! No requests are made of ${name}`);
  return model;
}
