import {
  CHANGED,
  CREATED,
  DATES,
  type Employee,
  type Frequency,
  half,
  isClosed,
  MAX,
  type Model,
  type ModelOperation,
  no,
  post,
} from './model.ts';

const PERIODS: Readonly<Record<Frequency, number>> = { weekly: 52, biweekly: 26, semimonthly: 24, monthly: 12 };
const FREQUENCIES = ['monthly', 'monthly', 'weekly', 'biweekly', 'semimonthly'] as const;

const createEmployee: ModelOperation = {
  weight: 3,
  request: (_, { nat, pick }) => ({
    body: {
      firstName: 'Sam',
      lastName: 'Example',
      email: `sam-${nat(12)}@example.test`,
      annualSalary: pick([5_000_000, 4_160_001, 11, 99_999]),
      currency: nat(8) === 0 ? 'JPY' : 'USD',
      payFrequency: pick(FREQUENCIES),
      taxRateBasisPoints: pick([0, 2_000, 3_333, 10_000]),
      deductions: Array.from({ length: nat(3) }, () => ({
        name: 'Pension',
        amount: 1 + nat(900),
        preTax: nat(2) === 0,
      })),
    },
  }),
  expect({ employees }, { body }, { id }) {
    if ([...employees.values()].some(({ email }) => email === body.email)) return no(409, 'employee_email_taken');
    const deductions: { amount: number; preTax: boolean }[] = body.deductions;
    const sum = (preTax: boolean) =>
      deductions.filter((one) => one.preTax === preTax).reduce((total, { amount }) => total + BigInt(amount), 0n);
    employees.set(id, {
      email: body.email,
      salary: BigInt(body.annualSalary),
      currency: body.currency,
      frequency: body.payFrequency,
      rate: BigInt(body.taxRateBasisPoints),
      preTax: sum(true),
      postTax: sum(false),
    });
    return CREATED;
  },
};

const createPayRun: ModelOperation = {
  weight: 4,
  first: ({ employees }) => (employees.size > 0 ? undefined : 'createEmployee'),
  request({ employees }, { nat, pick, any }) {
    const named = nat(4) > 0 ? [...new Set([any(employees), any(employees)].slice(0, 1 + nat(2)))] : undefined;
    const frequency = (named && employees.get(named[0] ?? '')?.frequency) || pick(FREQUENCIES);
    return {
      body: {
        payFrequency: frequency,
        year: 2026,
        periodNumber: 1 + nat(3),
        payDate: pick(DATES),
        ...(named && { employeeIds: named }),
        ...(nat(3) === 0 && { asDraft: true }),
      },
    };
  },
  expect({ employees, payRuns, settings }, { body }, { id, actor }) {
    const named: string[] | undefined = body.employeeIds;
    const paid = [...employees].filter(([employeeId, { frequency }]) =>
      named ? named.includes(employeeId) : frequency === body.payFrequency,
    );
    if (named && paid.length < named.length) return no(422, 'employee_not_found');
    if (paid.length === 0) return no(422, 'no_employees');
    if (paid.some(([, { frequency }]) => frequency !== body.payFrequency)) return no(422, 'pay_frequency_mismatch');
    const [currency = '', another] = [...new Set(paid.map(([, one]) => one.currency))];
    if (another !== undefined) return no(422, 'currency_mismatch');
    const slips = paid.map(([, employee]) => payslip(employee, body.periodNumber, settings.employerRate));
    if (slips.some((slip) => slip.taxable < 0n || slip.net < 0n)) return no(422, 'deductions_exceed_pay');
    const sum = (of: 'gross' | 'tax' | 'deductions' | 'net' | 'employerTax') =>
      slips.reduce((total, slip) => total + slip[of], 0n);
    if (sum('gross') === 0n) return no(422, 'nothing_to_pay');
    payRuns.set(id, {
      status: settings.approval || body.asDraft ? 'draft' : 'approved',
      by: actor,
      date: body.payDate,
      currency,
      periods: paid.map(([employeeId]) => `${employeeId} ${body.payFrequency} ${body.periodNumber}`),
      gross: sum('gross'),
      tax: sum('tax'),
      deductions: sum('deductions'),
      net: sum('net'),
      employerTax: sum('employerTax'),
    });
    return CREATED;
  },
};

const approvePayRun: ModelOperation = {
  weight: 3,
  first: (model) => (has(model, 'draft') ? undefined : 'createPayRun'),
  request: ({ payRuns }, { any }) => ({ params: { payRunId: any(payRuns, is('draft')) }, body: {} }),
  expect({ payRuns, settings }, { params }, { actor }) {
    const run = payRuns.get(params?.['payRunId'] ?? '');
    if (run === undefined) return no(404, 'pay_run_not_found');
    if (run.status !== 'draft') return no(409, 'pay_run_not_draft');
    if (settings.approval && run.by === actor) return no(403, 'approver_is_creator');
    run.status = 'approved';
    return CHANGED;
  },
};

const executePayroll: ModelOperation = {
  weight: 4,
  first: (model) => (has(model, 'approved') ? undefined : 'createPayRun'),
  request: ({ payRuns }, { any }) => ({ params: { payRunId: any(payRuns, is('approved')) }, body: {} }),
  expect(model, { params }, context) {
    const run = model.payRuns.get(params?.['payRunId'] ?? '');
    if (run === undefined) return no(404, 'pay_run_not_found');
    if (run.status === 'executed') return no(409, 'pay_run_already_executed');
    if (run.status === 'draft') return no(409, 'pay_run_not_approved');
    if (model.settings.approval && run.by === context.actor) return no(403, 'executor_is_creator');
    if (run.periods.some((period) => model.paidPeriods.has(period))) return no(409, 'period_already_paid');
    if (isClosed(model, run.date)) return no(409, 'period_closed');
    for (const period of run.periods) model.paidPeriods.add(period);
    run.status = 'executed';
    const lines = [
      ['6000', run.gross],
      ['6010', run.employerTax],
      ['2200', -run.tax - run.employerTax],
      ['2210', -run.deductions],
      ['2220', -run.net],
    ] as const;
    post(model, { date: run.date, currency: run.currency, lines }, context);
    return CHANGED;
  },
};

const createInventoryItem: ModelOperation = {
  weight: 2,
  request(_, { nat, pick }) {
    const opening = pick([{}, { openingQuantity: 0 }, { openingQuantity: 3 }, { openingQuantity: 1 + nat(20) }]);
    const unitCost = nat(12) === 0 ? 10_000_000_000_000 : 1 + nat(200);
    return {
      body: {
        sku: `SKU-${nat(2)}`,
        name: 'Lamp',
        currency: pick(['USD', 'KWD']),
        date: pick(DATES),
        ...opening,
        ...('openingQuantity' in opening && nat(6) > 0 && { openingUnitCost: unitCost }),
      },
    };
  },
  expect(model, { body }, context) {
    const quantity = BigInt(body.openingQuantity ?? 0);
    if (quantity > 0n && body.openingUnitCost === undefined) return no(422, 'unit_cost_required');
    const value = quantity * BigInt(body.openingUnitCost ?? 0);
    if (value > MAX) return no(422, 'amount_out_of_range');
    if ([...model.items.values()].some(({ sku }) => sku === body.sku)) return no(409, 'sku_taken');
    if (quantity > 0n && isClosed(model, body.date)) return no(409, 'period_closed');
    model.items.set(context.id, { sku: body.sku, currency: body.currency, quantity, value });
    const lines = [['1200', value] as const, ['3000', -value] as const];
    if (quantity > 0n) post(model, { date: body.date, currency: body.currency, lines }, context);
    return CREATED;
  },
};

const adjustInventory: ModelOperation = {
  weight: 12,
  first: ({ items }) => (items.size > 0 ? undefined : 'createInventoryItem'),
  request({ items }, { nat, pick, any }) {
    const itemId = any(items, ({ quantity }) => quantity > 0n);
    const stock = Number(items.get(itemId)?.quantity ?? 0n);
    const delta = pick([1 + nat(9), 1 + nat(9), -1, -1, -2, -stock || 1, -stock - 1]);
    return {
      params: { itemId },
      body: {
        quantityDelta: delta,
        reason: 'Counted',
        date: pick(DATES),
        ...(delta > 0 && nat(5) > 0 && { unitCost: 1 + nat(300) }),
        ...(nat(8) === 0 && { offsetAccountCode: pick(['2000', '1100', '9999']) }),
      },
    };
  },
  expect(model, { params, body }, context) {
    const item = model.items.get(params?.['itemId'] ?? '');
    if (item === undefined) return no(404, 'inventory_item_not_found');
    const offset: string = body.offsetAccountCode ?? '5100';
    if (model.accounts.get(offset)?.isControl !== false) return no(422, 'account_not_usable');
    const delta = BigInt(body.quantityDelta);
    if (item.quantity + delta < 0n) return no(422, 'insufficient_stock');
    if (body.unitCost === undefined && item.quantity === 0n) return no(422, 'unit_cost_required');
    const cost = body.unitCost === undefined ? half(item.value * delta, item.quantity) : delta * BigInt(body.unitCost);
    if (item.value + cost > MAX) return no(422, 'amount_out_of_range');
    if (isClosed(model, body.date)) return no(409, 'period_closed');
    item.quantity += delta;
    item.value += cost;
    const lines = [['1200', cost] as const, [offset, -cost] as const];
    post(model, { date: body.date, currency: item.currency, lines }, context);
    return CHANGED;
  },
};

export const PAYROLL = { createEmployee, createPayRun, approvePayRun, executePayroll };
export const STOCK = { createInventoryItem, adjustInventory };

function has({ payRuns }: Model, status: string): boolean {
  return [...payRuns.values()].some(is(status));
}

function is(wanted: string): (run: { status: string }) => boolean {
  return ({ status }) => status === wanted;
}

function payslip(employee: Employee, period: number, employerRate: bigint) {
  const n = BigInt(PERIODS[employee.frequency]);
  const until = (k: number) => (BigInt(k) * employee.salary) / n;
  const gross = until(period) - until(period - 1);
  const taxable = gross - employee.preTax;
  const tax = half(taxable * employee.rate, 10_000n);
  return {
    gross,
    taxable,
    tax,
    deductions: employee.preTax + employee.postTax,
    net: taxable - tax - employee.postTax,
    employerTax: half(gross * employerRate, 10_000n),
  };
}
