import { type MoveMaker, NOWHERE } from '../books.ts';

/** The company itself: its settings, who has access, and what it has done for it. */
const updateCompanySettings: MoveMaker = ({ settings, invoices }, random, odd) => {
  const { version } = settings;
  const after = settings.step < 0 ? [] : [settings.step];
  if (version > 1 && odd(0.2)) {
    return { body: { expectedVersion: 1, name: 'Too late' }, after, refused: 'version_conflict' };
  }
  const [invoice] = invoices;
  if (version > 1 && invoice && odd(0.1)) {
    const body = { expectedVersion: version, baseCurrency: 'EUR' };
    // No new version, but a link of the chain: the next change would make this one too late.
    const made = (step: number) => Object.assign(settings, { step });
    return { body, after: [...after, invoice.step], refused: 'base_currency_in_use', made };
  }
  const changes =
    version === 1
      ? { booksClosedThrough: '2025-12-31' } // the first step of all: LONG_CLOSED rests on it
      : random.pick([
          { name: `Books of version ${version}` },
          { employerTaxRateBasisPoints: random.int(0, 2_000) },
          { payRunApprovalRequired: random.chance(0.5) },
          { booksClosedThrough: '2025-12-01', reopenReason: 'A late receipt' },
          { booksClosedThrough: '2025-12-31' },
        ]);
  return {
    body: { expectedVersion: version, ...changes },
    after,
    made: (step) => Object.assign(settings, { step, version: version + 1 }),
  };
};

const grantUserAccess: MoveMaker = ({ access, ownerId, accountantId, newcomerId }, random, odd) => {
  if (access.accountantStep < 0) {
    return {
      params: { userId: accountantId },
      body: { roles: ['accountant'] },
      after: [],
      made: (step) => Object.assign(access, { accountantStep: step }),
    };
  }
  if (odd(0.2)) return { params: { userId: NOWHERE }, body: { roles: ['user'] }, after: [], refused: 'user_not_found' };
  if (odd(0.1)) return { params: { userId: ownerId }, body: { roles: [] }, after: [], refused: 'last_owner' };
  const after = access.step < 0 ? [] : [access.step];
  const roles = random.pick([
    ['manager'],
    ['auditor', 'inventory_manager'],
    ['accountant', 'user'],
    ...(access.isMember ? [[]] : []),
  ]);
  return {
    params: { userId: newcomerId },
    body: { roles },
    after,
    made: (step) => Object.assign(access, { step, isMember: roles.length > 0 }),
  };
};

const triggerWorkflow: MoveMaker = (_books, random, odd) => {
  if (odd(0.2)) {
    return {
      params: { name: 'noSuchWorkflow' },
      body: { payload: { any: 'thing' } },
      after: [],
      refused: 'workflow_not_registered',
    };
  }
  const reminders = { params: { name: 'sendInvoiceReminders' }, after: [] };
  if (odd(0.2)) return { ...reminders, body: { payload: { asOf: 'yesterday' } }, refused: 'workflow_payload_invalid' };
  if (random.chance(0.7)) return { ...reminders, body: { payload: { asOf: '2026-03-05' } } };
  // It looks at all the books and closes nothing, since that day is not over.
  return { params: { name: 'closeMonth' }, body: { payload: { through: '2999-12-31' } }, after: [] };
};

export const COMPANY = { updateCompanySettings, grantUserAccess, triggerWorkflow };
