import { type Actor, CHANGED, CREATED, type Model, type ModelOperation, NOTHING, no } from './model.ts';

const updateCompanySettings: ModelOperation = {
  weight: 3,
  request: ({ settings }, { nat, pick }) => ({
    body: {
      expectedVersion: nat(6) === 0 ? settings.version + 1 : settings.version,
      ...pick([
        { name: 'Another name' },
        { employerTaxRateBasisPoints: nat(2_000) },
        { payRunApprovalRequired: nat(2) === 0 },
        { baseCurrency: 'EUR' },
        { baseCurrency: 'USD' },
        { timeZone: pick(['Europe/London', 'Nowhere/Atlantis']) },
        { booksClosedThrough: pick(['2026-01-10', '2026-01-31', '2025-12-31']) },
        { booksClosedThrough: pick([null, '2025-12-31']), reopenReason: 'A late receipt' },
      ]),
    },
  }),
  expect(model, { body }, { actor }) {
    const { settings } = model;
    if (body.expectedVersion !== settings.version) return no(409, 'version_conflict');
    const { booksClosedThrough: wanted } = body;
    const reopens =
      wanted !== undefined && settings.closedThrough !== null && (wanted === null || wanted < settings.closedThrough);
    if (reopens && !holds(model, actor, 'owner')) return no(403, 'reopen_not_allowed');
    if (reopens && body.reopenReason === undefined) return no(422, 'reopen_reason_required');
    const isUsed = model.entries.size > 0 || model.invoices.size > 0;
    if (body.baseCurrency !== undefined && body.baseCurrency !== settings.baseCurrency && isUsed) {
      return no(409, 'base_currency_in_use');
    }
    if (body.timeZone === 'Nowhere/Atlantis') return no(422, 'time_zone_unknown');
    model.settings = {
      version: settings.version + 1,
      baseCurrency: body.baseCurrency ?? settings.baseCurrency,
      closedThrough: wanted === undefined ? settings.closedThrough : wanted,
      employerRate: BigInt(body.employerTaxRateBasisPoints ?? settings.employerRate),
      approval: body.payRunApprovalRequired ?? settings.approval,
    };
    return CHANGED;
  },
};

const grantUserAccess: ModelOperation = {
  weight: 3,
  request: ({ userIds }, { nat, pick }) => ({
    params: { userId: nat(12) === 0 ? NOTHING : userIds[pick(['newcomer', 'newcomer', 'manager', 'owner'] as const)] },
    body: { roles: pick([[], ['manager'], ['accountant', 'auditor'], ['admin'], ['owner']]) },
  }),
  expect(model, { params, body }, { actor }) {
    const target = actors(model).find((one) => model.userIds[one] === params?.['userId']);
    const held = target && model.members.get(target);
    const roles: string[] = body.roles;
    if (target === undefined || (held === undefined && roles.length === 0)) return no(404, 'user_not_found');
    const concernsOwner = roles.includes('owner') || held?.includes('owner');
    if (concernsOwner && !holds(model, actor, 'owner')) return no(403, 'role_escalation');
    const owners = actors(model).filter((one) =>
      one === target ? roles.includes('owner') : holds(model, one, 'owner'),
    );
    if (owners.length === 0) return no(409, 'last_owner');
    if (roles.length === 0) model.members.delete(target);
    else model.members.set(target, roles);
    return CHANGED;
  },
};

const triggerWorkflow: ModelOperation = {
  weight: 1,
  request: (_, { pick }) => ({
    params: { name: pick(['sendInvoiceReminders', 'closeMonth', 'noSuchWorkflow']) },
    body: {
      payload: pick([
        { any: 'thing' },
        { asOf: '2026-03-01', through: '2026-01-31' },
        { asOf: 'never', through: 'never' },
      ]),
    },
  }),
  expect(model, { params, body }, { actor }) {
    const name = params?.['name'];
    if (name === 'noSuchWorkflow') return no(404, 'workflow_not_registered');
    const mayClose = holds(model, actor, 'owner') || holds(model, actor, 'admin');
    if (name === 'closeMonth' && !mayClose) return no(403, 'forbidden');
    if (body.payload.asOf === 'never') return no(422, 'workflow_payload_invalid');
    model.triggers += 1;
    return CREATED;
  },
};

export const COMPANY = { updateCompanySettings, grantUserAccess, triggerWorkflow };

function actors({ userIds }: Model): Actor[] {
  return Object.keys(userIds) as Actor[];
}

function holds({ members }: Model, actor: Actor, role: string): boolean {
  return members.get(actor)?.includes(role) === true;
}
