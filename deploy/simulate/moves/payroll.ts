import { LONG_CLOSED, type Member, type MoveMaker, NOWHERE, type PlannedBooks } from '../books.ts';
import type { Random } from '../random.ts';

/** Employees and their pay; and the stock. */
const PERIODS = { weekly: 52, biweekly: 26, semimonthly: 24, monthly: 12 } as const;

const createEmployee: MoveMaker = ({ employees, next }, random, odd) => {
  const payFrequency = random.pick(Object.keys(PERIODS));
  const currency = random.chance(0.1) ? 'JPY' : 'USD';
  const email = `person-${next()}@books.test`;
  const body = {
    firstName: 'Sam',
    lastName: 'Example',
    email,
    annualSalary: random.int(2_000_000, 15_000_000),
    currency,
    payFrequency,
    taxRateBasisPoints: random.int(0, 4_500),
    deductions: Array.from({ length: random.int(0, 2) }, () => ({
      name: 'Pension',
      amount: random.int(1, 8_000),
      preTax: random.chance(0.5),
    })),
  };
  const [known] = employees;
  if (known && odd(0.05)) {
    const taken = { ...body, email: known.email.toUpperCase() };
    return { body: taken, after: [known.step], refused: 'employee_email_taken' };
  }
  return { body, after: [], made: (step, id) => employees.push({ id, step, email, payFrequency, currency }) };
};

const createPayRun: MoveMaker = (books, random, odd) => {
  if (books.employees.length === 0) return undefined;
  const { payFrequency, currency } = random.pick(books.employees);
  const fitting = books.employees.filter((one) => one.payFrequency === payFrequency && one.currency === currency);
  const paid = fitting.slice(0, random.int(1, 4));
  const draft = !odd(0.6);
  const body = {
    payFrequency,
    year: 2026,
    periodNumber: random.int(1, PERIODS[payFrequency as keyof typeof PERIODS]),
    payDate: odd(0.03) ? LONG_CLOSED : random.date('2026-01-30', '2026-03-31'),
    employeeIds: paid.map(({ id }) => id),
    ...(draft && { asDraft: true }),
  };
  if (odd(0.04)) return { body: { ...body, employeeIds: [NOWHERE] }, after: [], refused: 'employee_not_found' };
  const by = member(books, random);
  return {
    body,
    after: [...paid.map(({ step }) => step), ...by.after],
    as: by.as,
    made: (step, id) => books.payRuns.push({ id, step, draft, executed: false }),
  };
};

const approvePayRun: MoveMaker = (books, random, odd) => {
  if (odd(0.05)) return { params: { payRunId: NOWHERE }, body: {}, after: [], refused: 'pay_run_not_found' };
  const drafts = books.payRuns.filter(({ draft }) => draft);
  if (drafts.length === 0) return undefined;
  const run = random.pick(drafts);
  const by = member(books, random);
  return {
    params: { payRunId: run.id },
    body: {},
    after: [run.step, ...by.after],
    as: by.as,
    made: (step) => Object.assign(run, { step, draft: false }),
  };
};

const executePayroll: MoveMaker = ({ payRuns }, random, odd) => {
  const done = payRuns.find(({ executed }) => executed);
  const waiting = payRuns.filter(({ draft, executed }) => !executed && (!draft || odd(0.1)));
  const run = done && odd(0.05) ? done : waiting.length > 0 ? random.pick(waiting) : undefined;
  if (run === undefined) return undefined;
  return {
    params: { payRunId: run.id },
    body: {},
    after: [run.step],
    ...(run.draft ? {} : { made: (step: number) => Object.assign(run, { step, executed: true }) }),
  };
};

const createInventoryItem: MoveMaker = ({ items, next }, random, odd) => {
  const sku = `SKU-${next()}`;
  const currency = random.pick(['USD', 'USD', 'KWD']);
  const quantity = random.chance(0.6) ? random.int(1, 200) : 0;
  const opening = { openingQuantity: quantity, openingUnitCost: random.int(1, 5_000), date: '2026-01-05' };
  const body = { sku, name: 'Desk lamp', currency, ...(quantity > 0 && opening) };
  const [known] = items;
  if (known && odd(0.05)) return { body: { ...body, sku: known.sku }, after: [known.step], refused: 'sku_taken' };
  return { body, after: [], made: (step, id) => items.push({ id, step, sku, currency, quantity }) };
};

const adjustInventory: MoveMaker = ({ items, settings }, random, odd) => {
  if (items.length === 0) return undefined;
  const item = random.pick(items);
  const params = { itemId: item.id };
  const less = item.quantity > 0 && random.chance(0.6);
  // Now and then all that is left: the last unit takes what the average has left over.
  const delta = less ? -(random.chance(0.1) ? item.quantity : random.int(1, item.quantity)) : random.int(1, 60);
  const needsCost = item.quantity === 0 || random.chance(0.6);
  const body = {
    quantityDelta: delta,
    reason: less ? 'Sold' : 'Delivery',
    date: random.date('2026-01-06', '2026-03-31'),
    offsetAccountCode: less ? '5000' : '2000',
    ...(!less && needsCost && { unitCost: random.int(1, 6_000) }),
  };
  if (odd(0.02)) return { params: { itemId: NOWHERE }, body, after: [], refused: 'inventory_item_not_found' };
  if (odd(0.04)) {
    const { unitCost: _, ...taking } = { unitCost: 0, ...body };
    const body2 = { ...taking, quantityDelta: -1_000_000_000 };
    return { params, body: body2, after: [item.step], refused: 'insufficient_stock' };
  }
  if (odd(0.02)) {
    const closed = { ...body, date: LONG_CLOSED, quantityDelta: 1, unitCost: 1 };
    return { params, body: closed, after: [item.step, settings.step], refused: 'period_closed' };
  }
  return {
    params,
    body,
    after: [item.step],
    made() {
      item.quantity += delta;
    },
  };
};

export const PAYROLL = { createEmployee, createPayRun, approvePayRun, executePayroll };
export const STOCK = { createInventoryItem, adjustInventory };

/** Where someone else has to approve, there is someone else. */
function member({ access }: PlannedBooks, random: Random): { as: Member; after: readonly number[] } {
  if (access.accountantStep < 0 || random.chance(0.5)) return { as: 'owner', after: [] };
  return { as: 'accountant', after: [access.accountantStep] };
}
