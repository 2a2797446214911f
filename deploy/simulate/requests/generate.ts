import { writeId } from '../../../activities/identity.ts';
import type { Operation } from '../../../activities/operation.ts';
import { OPERATIONS } from '../../../activities/operation-list.ts';
import { holdsOneOf, type Role } from '../../../activities/roles.ts';
import { APPROVALS, demandsOf } from './approvals.ts';
import { BANK } from './bank.ts';
import type { Actor, Books } from './books.ts';
import { COMPANY, WORKFLOWS } from './company.ts';
import { CREDIT_NOTES } from './credit-notes.ts';
import { FISCAL_YEARS } from './fiscal-years.ts';
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
  ...FISCAL_YEARS,
  ...WORKFLOWS,
  ...APPROVALS,
};

/** Every operation, and how often it is requested. */
export const OPERATION_WEIGHTS = Object.entries(MODELS).map(([name, { weight }]) => [name, weight] as const);

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

/** How it is answered under that key, the books being as they are. With `demands`, it waits, and changes nothing yet. */
export function expectAnswer(books: Books, generated: GeneratedRequest, key: string): Answer {
  const { operation, actor } = generated;
  if (!books.members.has(actor)) return { status: 403, code: 'not_a_member' };
  if (!isAllowed(books, operation, actor)) return { status: 403, code: 'forbidden' };
  const { apply, ...answer } = answerOf(books, generated, key);
  if (apply === undefined) return answer;
  const demands = demandsOf(books, operation.name, answer.total);
  return demands.length > 0 ? { ...answer, status: 202, demands } : { ...answer, apply };
}

/** How the same request is answered once it is approved, whatever the policies are by then. */
export function expectOutcome(books: Books, generated: GeneratedRequest, key: string): Answer {
  const { operation, actor } = generated;
  if (!isAllowed(books, operation, actor)) return { status: 403, code: 'forbidden' };
  return answerOf(books, generated, key);
}

function answerOf(books: Books, { operation: { name }, actor, request }: GeneratedRequest, key: string): Answer {
  return modelOf(name).answer(books, request, { operation: name, id: writeId(books.companyId, name, key), actor });
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
