import { type Actor, type Books, CURRENCIES, type Policy } from './books.ts';
import {
  type Answer,
  changed,
  type Demand,
  inOrder,
  type OperationModel,
  refusedAnyway,
  type Total,
} from './operation-model.ts';
import type { Random } from './random.ts';

/** The policies, by the operation that replaces them. */
export const POLICIES = 'updateApprovalPolicies';

/** Operations whose amount and currency follow from the request, and from what never changes. */
const OF_SURE_AMOUNTS = [
  ...['createPayment', 'createPayment', 'createRefund', 'voidPayment', 'voidRefund', 'writeOffInvoice'],
  ...['createJournalEntry', 'createJournalEntry', 'reverseJournalEntry', 'createInventoryItem', 'reconcileLedger'],
];
/** Others whose amount a policy can ask for. */
const OF_AMOUNTS = [
  ...['createInvoice', 'finalizeInvoice', 'voidInvoice', 'createCreditNote', 'voidCreditNote', 'recoverWriteOff'],
  ...['createPayRun', 'approvePayRun', 'executePayroll', 'voidPayRun', 'adjustInventory'],
];
/** Not `recordInvoiceReminder`, which workflows request as well, under keys that the plan does not know. */
const OF_NO_AMOUNT = [
  ...['createCustomer', 'updateCustomer', 'discardInvoice', 'createAccount', 'importBankTransactions'],
  ...['unreconcileBankTransaction', 'createEmployee', 'updateEmployee', 'updateInventoryItem', 'triggerWorkflow'],
  ...['updateCompanySettings', 'grantUserAccess', POLICIES, 'closeFiscalYear', 'reopenFiscalYear'],
];
/** With a policy for one of these that nobody can meet, nobody could ever lift it. */
const WAYS_OUT = ['grantUserAccess', POLICIES];
const AMOUNTS = [1_000, 5_000, 20_000] as const;
const APPROVERS = [
  ['owner', 'accountant', 'admin'],
  ['owner', 'accountant', 'manager', 'auditor'],
  ['admin', 'accountant'],
  ['owner'],
  ['accountant', 'inventory_manager', 'admin'],
] as const;

const updateApprovalPolicies: OperationModel = {
  weight: 2,
  request(books, random) {
    const { nat, pick, unusual } = random;
    const { version } = books.policies;
    const expectedVersion = version > 1 && unusual(0.08) ? version - 1 : version;
    const wrong = [
      { operation: 'noSuchOperation', approverRoles: ['admin'] },
      { operation: 'createCustomer', amountFrom: 1, approverRoles: ['admin'] },
      { operation: POLICIES, approverRoles: ['accountant', 'manager'], count: 3 },
    ];
    const policies = Array.from({ length: 3 + nat(5) }, () => drawPolicy(books, random));
    return { body: { expectedVersion, policies: unusual(0.1) ? [...policies, pick(wrong)] : policies } };
  },
  answer: (books, { body }, { actor }) => inOrder(replacePolicies(books, body, actor), POLICIES),
};

function drawPolicy({ limits }: Books, { pick, chance }: Random) {
  const operation = pick([...OF_SURE_AMOUNTS, ...OF_SURE_AMOUNTS, ...OF_AMOUNTS, ...OF_NO_AMOUNT]);
  const asksAmount = OF_SURE_AMOUNTS.includes(operation) || (limits.isSequential && OF_AMOUNTS.includes(operation));
  return {
    operation,
    ...(asksAmount && chance(0.7) && { amountFrom: pick(AMOUNTS) }),
    ...(asksAmount && chance(0.3) && { currency: pick(CURRENCIES) }),
    // Whoever asks for the policy, the accountant can approve what it holds for.
    approverRoles: WAYS_OUT.includes(operation) ? APPROVERS[0] : pick(APPROVERS),
    ...(!WAYS_OUT.includes(operation) && chance(0.3) && { count: 2 }),
    ...(chance(0.5) && { expiresAfterHours: pick([1, 24]) }),
  };
}

// biome-ignore lint/suspicious/noExplicitAny: the body that is made above
function replacePolicies(books: Books, body: any, actor: Actor): Answer {
  const { version } = books.policies;
  if (body.expectedVersion !== version) return refusedAnyway(409, 'version_conflict');
  const all: readonly Policy[] = body.policies.map((policy: Partial<Policy>) => ({
    ...{ amountFrom: null, currency: null, count: 1, expiresAfterHours: 168 },
    ...policy,
  }));
  for (const { operation, amountFrom, currency } of all) {
    if (operation === 'noSuchOperation') return refusedAnyway(422, 'policy_operation_unknown');
    const asksAmount = amountFrom !== null || currency !== null;
    if (asksAmount && OF_NO_AMOUNT.includes(operation)) return refusedAnyway(422, 'policy_amount_unknown');
  }
  const others = [...books.members].filter(([other]) => other !== actor);
  const isShort = ({ operation, approverRoles, count }: Policy) =>
    WAYS_OUT.includes(operation) && others.filter(([, roles]) => shares(roles, approverRoles)).length < count;
  if (all.some(isShort)) return refusedAnyway(422, 'approvers_missing');
  return changed(() => {
    books.policies = { version: version + 1, all };
  });
}

export const APPROVALS = { updateApprovalPolicies };

/** What the policies ask of a write of that operation which would come to that total. */
export function demandsOf({ policies }: Books, operation: string, total: Total | undefined): readonly Demand[] {
  return policies.all
    .filter((policy) => policy.operation === operation && matches(policy, total))
    .map(({ approverRoles: roles, count }) => ({ roles, count }));
}

function matches({ amountFrom, currency }: Policy, total: Total | undefined): boolean {
  if (currency !== null && currency !== total?.currency) return false;
  const amount = total && total.amount < 0n ? -total.amount : total?.amount;
  return amountFrom === null || (amount !== undefined && amount >= BigInt(amountFrom));
}

/** All that the policies may ask of a write of that operation, whatever it comes to. */
export function possibleDemands({ policies }: Books, operation: string): readonly Demand[] {
  const own = policies.all.filter((policy) => policy.operation === operation);
  return own.map(({ approverRoles: roles, count }) => ({ roles, count }));
}

export type Decision = 'approve' | 'reject';

/** A write that waits, or has waited. */
export type Waiting = {
  readonly by: Actor;
  readonly demands: readonly Demand[];
  readonly decisions: Map<Actor, Decision>;
  isOpen: boolean;
};

/** Who may decide about it, and has not. */
export function decidersOf({ members }: Books, { by, demands, decisions }: Waiting): Actor[] {
  return [...members]
    .filter(([actor, roles]) => actor !== by && demands.some((demand) => shares(roles, demand.roles)))
    .flatMap(([actor]) => (decisions.has(actor) ? [] : [actor]));
}

/** Whose approvals, in this order, have it executed; undefined if there are not enough people. */
export function enoughOf(books: Books, waiting: Waiting, people: readonly Actor[]): readonly Actor[] | undefined {
  const given = [...waiting.decisions].flatMap(([actor, decision]) => (decision === 'approve' ? [actor] : []));
  const isMet = (actors: readonly Actor[]) =>
    waiting.demands.every(({ roles, count }) => {
      return actors.filter((actor) => shares(books.members.get(actor) ?? [], roles)).length >= count;
    });
  const sizes = people.map((_, index) => index + 1);
  const size = sizes.find((one) => isMet([...given, ...people.slice(0, one)]));
  return size === undefined ? undefined : people.slice(0, size);
}

/** The code with which the decision is refused; undefined if it is made, or has been made before. */
export function refusalOf({ members }: Books, waiting: Waiting, actor: Actor, decision: Decision): string | undefined {
  const roles = members.get(actor);
  if (roles === undefined) return 'not_a_member';
  if (actor === waiting.by) return 'approver_is_requester';
  if (!waiting.demands.some((demand) => shares(roles, demand.roles))) return 'forbidden';
  const own = waiting.decisions.get(actor);
  if (own !== undefined) return own === decision ? undefined : 'already_decided';
  return waiting.isOpen ? undefined : 'approval_not_pending';
}

function shares(held: readonly string[], wanted: readonly string[]): boolean {
  return wanted.some((role) => held.includes(role));
}
