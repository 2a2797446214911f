import { type Actor, type Books, NOTHING, TAX_ROUNDINGS } from './books.ts';
import { FISCAL_YEAR_ENDS, isStepLeft, keepsYearClosed } from './fiscal-years.ts';
import { needsEarlierYears, SETTINGS } from './ledger.ts';
import { changed, created, inOrder, type OperationModel, refused, refusedAnyway } from './operation-model.ts';

const updateCompanySettings: OperationModel = {
  weight: 4,
  prerequisite: (books) => (needsEarlierYears(books) ? 'createJournalEntry' : undefined),
  request({ settings, limits }, { nat, pick, chance, unusual }) {
    const { version, closedThrough } = settings;
    const expectedVersion = version > 1 && unusual(0.08) ? version - 1 : version;
    if (closedThrough === null && !unusual(0.1)) {
      return { body: { expectedVersion, booksClosedThrough: limits.closings[0] } };
    }
    const booksClosedThrough = pick(limits.closings);
    const requireFinished =
      limits.isSequential && booksClosedThrough !== null && chance(0.4) ? { requireFinished: true } : {};
    const reopenReason = unusual(0.1) ? {} : { reopenReason: 'A late receipt' };
    const changes = unusual(0.08)
      ? pick([{ baseCurrency: 'EUR' }, { timeZone: 'Nowhere/Atlantis' }])
      : pick([
          { name: `Books of version ${version}` },
          { timeZone: 'Europe/London', baseCurrency: settings.baseCurrency },
          { employerTaxRateBasisPoints: nat(2_000) },
          // Not fewer: a day that others rest on stays one that can be posted on.
          { latestPostingDays: 366 + nat(3_000) },
          { taxRounding: pick(TAX_ROUNDINGS.toReversed()) },
          { fiscalYearEnd: pick(FISCAL_YEAR_ENDS) },
          { payRunApprovalRequired: true },
          { payRunApprovalRequired: false },
          { reconcileTolerance: pick(limits.tolerances) },
          { booksClosedThrough, ...reopenReason, ...requireFinished },
          { booksClosedThrough, ...reopenReason, ...requireFinished },
        ]);
    return { body: { expectedVersion, ...changes } };
  },
  answer: (books, { body }, { actor }) => inOrder(changeSettings(books, body, actor), SETTINGS),
};

// biome-ignore lint/suspicious/noExplicitAny: the body that is made above
function changeSettings(books: Books, body: any, actor: Actor) {
  const { settings } = books;
  if (body.expectedVersion !== settings.version) return refusedAnyway(409, 'version_conflict');
  const { booksClosedThrough: wanted } = body;
  const reopens =
    wanted !== undefined && settings.closedThrough !== null && (wanted === null || wanted < settings.closedThrough);
  if (reopens && !holds(books, actor, 'owner')) return refusedAnyway(403, 'reopen_not_allowed');
  if (reopens && body.reopenReason === undefined) return refusedAnyway(422, 'reopen_reason_required');
  const [used] = [...books.invoices.keys(), ...books.entries.keys()];
  if (used !== undefined && body.baseCurrency !== undefined && body.baseCurrency !== settings.baseCurrency) {
    return refusedAnyway(409, 'base_currency_in_use', used);
  }
  if (body.timeZone === 'Nowhere/Atlantis') return refusedAnyway(422, 'time_zone_unknown');
  if (body.requireFinished && isStepLeft(books, wanted)) return refused(409, 'month_not_finished');
  if (reopens && keepsYearClosed(books, wanted)) return refusedAnyway(409, 'fiscal_year_closed');
  return changed(() => {
    books.settings = {
      version: settings.version + 1,
      baseCurrency: body.baseCurrency ?? settings.baseCurrency,
      closedThrough: wanted === undefined ? settings.closedThrough : wanted,
      fiscalYearEnd: body.fiscalYearEnd ?? settings.fiscalYearEnd,
      employerRate: BigInt(body.employerTaxRateBasisPoints ?? settings.employerRate),
      approval: body.payRunApprovalRequired ?? settings.approval,
      latestPostingDays: body.latestPostingDays ?? settings.latestPostingDays,
      taxRounding: body.taxRounding ?? settings.taxRounding,
      reconcileTolerance: body.reconcileTolerance === undefined ? settings.reconcileTolerance : body.reconcileTolerance,
    };
  });
}

const ROLE_SETS = [['manager'], ['auditor', 'inventory_manager'], ['accountant', 'user'], ['admin'], []] as const;

const grantUserAccess: OperationModel = {
  weight: 3,
  request({ userIds, members, limits }, { pick, unusual }) {
    const idOf = (actor: Actor) => userIds[actor] ?? NOTHING;
    if (!members.has('accountant')) return { target: idOf('accountant'), body: { roles: ['accountant'] } };
    if (unusual(0.08)) return { target: NOTHING, body: { roles: ['user'] } };
    if (unusual(0.08)) return { target: idOf('owner'), body: { roles: [] } };
    const owners = limits.changing.includes('owner') ? [['owner']] : [];
    return { target: idOf(pick(limits.changing)), body: { roles: pick([...ROLE_SETS, ...owners]) } };
  },
  answer: (books, { target, body }, { actor }) => inOrder(changeRoles(books, target, body.roles, actor), target),
};

function changeRoles(books: Books, userId: string, roles: readonly string[], actor: Actor) {
  const actors = Object.keys(books.userIds) as Actor[];
  const target = actors.find((one) => books.userIds[one] === userId);
  const held = target && books.members.get(target);
  if (target === undefined || (held === undefined && roles.length === 0)) return refusedAnyway(404, 'user_not_found');
  const concernsOwner = roles.includes('owner') || held?.includes('owner');
  if (concernsOwner && !holds(books, actor, 'owner')) return refused(403, 'role_escalation');
  const owners = actors.filter((one) => (one === target ? roles.includes('owner') : holds(books, one, 'owner')));
  if (owners.length === 0) return refusedAnyway(409, 'last_owner');
  return changed(() => {
    if (roles.length === 0) books.members.delete(target);
    else books.members.set(target, roles);
  });
}

const triggerWorkflow: OperationModel = {
  weight: 1,
  request(_, { pick, chance, unusual }) {
    const target = unusual(0.06) ? 'noSuchWorkflow' : chance(0.3) ? 'closeMonth' : 'sendInvoiceReminders';
    if (unusual(0.06)) return { target, body: { payload: { asOf: 'never', through: 'never' } } };
    if (unusual(0.06)) return { target, body: { payload: { thru: '2026-01-31' } } };
    // That day is not over: it looks at all the books, and closes nothing.
    const payload = target === 'closeMonth' ? { through: '2999-12-31' } : { asOf: pick(['2026-03-05', '2026-03-01']) };
    return { target, body: { payload } };
  },
  answer(books, { target, body }, { actor }) {
    if (target === 'noSuchWorkflow') return refusedAnyway(404, 'workflow_not_registered');
    const mayClose = holds(books, actor, 'owner') || holds(books, actor, 'admin');
    if (target === 'closeMonth' && !mayClose) return refused(403, 'forbidden');
    if (body.payload.asOf === 'never' || body.payload.thru) return refusedAnyway(422, 'workflow_payload_invalid');
    return created(() => {
      books.triggers += 1;
    });
  },
};

export const COMPANY = { updateCompanySettings, grantUserAccess };
export const WORKFLOWS = { triggerWorkflow };

function holds({ members }: Books, actor: Actor, role: string): boolean {
  return members.get(actor)?.includes(role) === true;
}
