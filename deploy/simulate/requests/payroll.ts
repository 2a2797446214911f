import {
  divide,
  type Employee,
  type Frequency,
  isClosed,
  isFarAhead,
  type PayRun,
  post,
  postingDay,
  sumOf,
} from './books.ts';
import {
  anyId,
  changed,
  created,
  type OperationModel,
  refused,
  refusedAnyway,
  uniqueName,
  workingOn,
} from './operation-model.ts';

const PERIODS: Readonly<Record<Frequency, number>> = { weekly: 52, biweekly: 26, semimonthly: 24, monthly: 12 };
const FREQUENCIES = ['monthly', 'monthly', 'weekly', 'biweekly', 'semimonthly'] as const;

const createEmployee: OperationModel = {
  weight: 2,
  request(books, random) {
    const { nat, pick, chance, unusual } = random;
    const taken = [...books.employees.values()].map(({ email }) => email.toUpperCase());
    return {
      body: {
        firstName: 'Sam',
        lastName: 'Example',
        email: uniqueName(books, random, taken, (number) => `sam-${number}@example.test`),
        annualSalary: unusual(0.06) ? pick([11, 99_999]) : pick([4_160_001, 5_000_000, 2_000_000 + nat(13_000_000)]),
        currency: chance(0.1) ? 'JPY' : 'USD',
        payFrequency: pick(FREQUENCIES),
        taxRateBasisPoints: pick([0, 2_000, 3_333, nat(4_500), 10_000]),
        deductions: Array.from({ length: nat(3) }, () => ({
          name: 'Pension',
          amount: 1 + nat(8_000),
          preTax: chance(0.5),
        })),
      },
    };
  },
  answer({ employees }, { body }, { id }) {
    const email: string = body.email.toLowerCase();
    const isTaken = [...employees.values()].some((one) => one.email === email);
    if (isTaken) return refusedAnyway(409, 'employee_email_taken', email);
    const deductions: { amount: number; preTax: boolean }[] = body.deductions;
    const sum = (preTax: boolean) => sumOf(deductions, (one) => (one.preTax === preTax ? BigInt(one.amount) : 0n));
    const employee = {
      email,
      salary: BigInt(body.annualSalary),
      currency: body.currency,
      frequency: body.payFrequency,
      rate: BigInt(body.taxRateBasisPoints),
      preTax: sum(true),
      postTax: sum(false),
    };
    return created(() => employees.set(id, employee), email);
  },
};

const createPayRun: OperationModel = {
  weight: 5,
  prerequisite: ({ employees }) => ([...employees.values()].some(isPayable) ? undefined : 'createEmployee'),
  request(books, random) {
    const { nat, pick, chance, unusual } = random;
    const { employees } = books;
    const first = anyId(employees, random, isPayable);
    const { frequency = pick(FREQUENCIES), currency } = employees.get(first) ?? {};
    const alike = [...employees].filter(([, one]) => one.frequency === frequency && one.currency === currency);
    const others = unusual(0.06) ? [anyId(employees, random)] : alike.slice(0, nat(4)).map(([id]) => id);
    const payFrequency = unusual(0.03) ? pick(FREQUENCIES) : frequency;
    return {
      body: {
        payFrequency,
        year: 2026,
        periodNumber: 1 + nat(pick([3, PERIODS[payFrequency], PERIODS[payFrequency]])),
        payDate: postingDay(books, random),
        ...(!unusual(0.08) && { employeeIds: [...new Set([first, ...others])] }),
        ...(chance(0.4) && { asDraft: true }),
      },
    };
  },
  answer({ employees, payRuns, settings }, { body }, { id, actor }) {
    const named: string[] | undefined = body.employeeIds;
    const paid = [...employees].filter(([employeeId, { frequency }]) =>
      named ? named.includes(employeeId) : frequency === body.payFrequency,
    );
    if (named && paid.length < named.length) return refusedAnyway(422, 'employee_not_found');
    if (paid.length === 0) return refused(422, 'no_employees');
    if (paid.some(([, { frequency }]) => frequency !== body.payFrequency))
      return refused(422, 'pay_frequency_mismatch');
    const [currency = '', another] = [...new Set(paid.map(([, one]) => one.currency))];
    if (another !== undefined) return refused(422, 'currency_mismatch');
    const slips = paid.map(([, employee]) => payslip(employee, body.periodNumber, settings.employerRate));
    if (slips.some((slip) => slip.taxable < 0n || slip.net < 0n)) return refused(422, 'deductions_exceed_pay');
    const gross = sumOf(slips, (slip) => slip.gross);
    if (gross === 0n) return refused(422, 'nothing_to_pay');
    const run: PayRun = {
      status: settings.approval || body.asDraft ? 'draft' : 'approved',
      by: actor,
      approvalRequired: settings.approval,
      date: body.payDate,
      currency,
      periods: paid.map(([employeeId]) => `${employeeId} ${body.payFrequency} ${body.periodNumber}`),
      gross,
      tax: sumOf(slips, (slip) => slip.tax),
      deductions: sumOf(slips, (slip) => slip.deductions),
      net: sumOf(slips, (slip) => slip.net),
      employerTax: sumOf(slips, (slip) => slip.employerTax),
    };
    return created(() => payRuns.set(id, run));
  },
};

const approvePayRun = workingOn(({ payRuns }) => payRuns, {
  weight: 3,
  fits: ({ status }) => status === 'draft',
  madeBy: 'createPayRun',
  notFound: [404, 'pay_run_not_found'],
  body: () => ({}),
  answer(run, { target }, _books, { actor }) {
    if (run.status !== 'draft') return refused(409, 'pay_run_not_draft');
    if (run.approvalRequired && run.by === actor) return refused(403, 'approver_is_creator');
    return changed(() => Object.assign(run, { status: 'approved' }), target);
  },
});

const executePayroll = workingOn(({ payRuns }) => payRuns, {
  weight: 5,
  fits: ({ status }) => status === 'approved',
  madeBy: 'createPayRun',
  notFound: [404, 'pay_run_not_found'],
  body: () => ({}),
  answer(run, { target }, books, write) {
    if (run.status === 'executed') return refused(409, 'pay_run_already_executed');
    if (run.status === 'draft') return refused(409, 'pay_run_not_approved');
    if (run.approvalRequired && run.by === write.actor) return refused(403, 'executor_is_creator');
    if (run.periods.some((period) => books.paidPeriods.has(period))) return refused(409, 'period_already_paid');
    if (isClosed(books, run.date)) return refused(409, 'period_closed');
    if (isFarAhead(run.date)) return refused(422, 'date_too_late');
    return changed(() => {
      for (const period of run.periods) books.paidPeriods.add(period);
      run.status = 'executed';
      const lines = [
        ['6000', run.gross],
        ['6010', run.employerTax],
        ['2200', -run.tax - run.employerTax],
        ['2210', -run.deductions],
        ['2220', -run.net],
      ] as const;
      post(books, { date: run.date, currency: run.currency, lines }, write);
    }, target);
  },
});

export const PAYROLL = { createEmployee, createPayRun, approvePayRun, executePayroll };

/** As far as the first period shows. */
function isPayable(employee: Employee): boolean {
  const { gross, taxable, net } = payslip(employee, 1, 0n);
  return gross > 0n && taxable >= 0n && net >= 0n;
}

function payslip(employee: Employee, period: number, employerRate: bigint) {
  const periods = BigInt(PERIODS[employee.frequency]);
  const until = (k: number) => (BigInt(k) * employee.salary) / periods;
  const gross = until(period) - until(period - 1);
  const taxable = gross - employee.preTax;
  const tax = divide(taxable * employee.rate, 10_000n);
  return {
    gross,
    taxable,
    tax,
    deductions: employee.preTax + employee.postTax,
    net: taxable - tax - employee.postTax,
    employerTax: divide(gross * employerRate, 10_000n),
  };
}
