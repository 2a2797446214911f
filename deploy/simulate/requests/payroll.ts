import {
  type Books,
  divide,
  type Employee,
  type Frequency,
  isClosed,
  isFarAhead,
  type PayRun,
  postingDay,
  sumOf,
  type Terms,
} from './books.ts';
import {
  anyId,
  changed,
  created,
  inOrder,
  type OperationModel,
  over,
  refused,
  refusedAnyway,
  uniqueName,
  workingOn,
} from './operation-model.ts';
import { post, postMirror } from './postings.ts';
import type { Random } from './random.ts';

const PERIODS: Readonly<Record<Frequency, number>> = { weekly: 52, biweekly: 26, semimonthly: 24, monthly: 12 };
const FREQUENCIES = ['monthly', 'monthly', 'weekly', 'biweekly', 'semimonthly'] as const;

const createEmployee: OperationModel = {
  weight: 2,
  request(books, random) {
    return {
      body: {
        firstName: 'Sam',
        lastName: 'Example',
        email: emailOf(books, random),
        annualSalary: drawSalary(random),
        currency: random.chance(0.1) ? 'JPY' : 'USD',
        payFrequency: random.pick(FREQUENCIES),
        taxRateBasisPoints: drawRate(random),
        deductions: drawDeductions(random),
      },
    };
  },
  answer({ employees }, { body }, { id }) {
    const email: string = body.email.toLowerCase();
    if (isTaken(employees, email)) return inOrder(refusedAnyway(409, 'employee_email_taken'), email);
    const terms = {
      from: '',
      salary: BigInt(body.annualSalary),
      currency: body.currency,
      frequency: body.payFrequency,
      rate: BigInt(body.taxRateBasisPoints),
      ...sumsOf(body.deductions),
    };
    return created(() => employees.set(id, { email, leftOn: null, terms: [terms] }), email);
  },
};

/** Within the year that pay runs are of, at its ends and in the middle of a period; and for all of it. */
const DAYS_OF_TERMS = ['2026-07-01', '2026-03-16', '2026-01-01', '2026-05-07', '2027-01-01', '1900-01-01'] as const;

const updateEmployee = workingOn(({ employees }) => employees, {
  weight: 3,
  madeBy: 'createEmployee',
  notFound: [404, 'employee_not_found'],
  body(_employee, _id, books, random) {
    const { pick, chance, unusual } = random;
    const terms = {
      ...(chance(0.6) && { annualSalary: drawSalary(random) }),
      ...(chance(0.3) && { taxRateBasisPoints: drawRate(random) }),
      ...(chance(0.3) && { deductions: drawDeductions(random) }),
      ...(chance(0.15) && { payFrequency: pick(FREQUENCIES) }),
      ...(chance(0.1) && { currency: pick(['USD', 'JPY']), annualSalary: drawSalary(random), deductions: [] }),
    };
    return {
      lastName: pick(['Example', 'Sample']),
      ...(chance(0.2) && { email: emailOf(books, random) }),
      ...(Object.keys(terms).length > 0 && { effectiveFrom: pick(DAYS_OF_TERMS), ...terms }),
      ...(chance(0.2) && { leftOn: unusual(0.3) ? pick(['2026-06-30', '2026-07-01']) : pick([null, '2026-12-31']) }),
    };
  },
  answer(employee, { target, body }, { employees }) {
    if (changesWithinPeriod(employee, body)) return refused(422, 'pay_frequency_within_period');
    const email: string | undefined = body.email?.toLowerCase();
    const { email: before } = employee;
    if (email !== undefined && email !== before && isTaken(employees, email)) {
      return inOrder(refusedAnyway(409, 'employee_email_taken'), email);
    }
    const names = email === undefined ? [] : [before, email];
    const apply = () => {
      employee.email = email ?? before;
      if (body.leftOn !== undefined) employee.leftOn = body.leftOn;
      if (body.effectiveFrom === undefined) return;
      const { salary, currency, frequency, rate, preTax, postTax } = termsOn(employee, body.effectiveFrom);
      employee.terms.push({
        from: body.effectiveFrom,
        salary: body.annualSalary === undefined ? salary : BigInt(body.annualSalary),
        currency: body.currency ?? currency,
        frequency: body.payFrequency ?? frequency,
        rate: body.taxRateBasisPoints === undefined ? rate : BigInt(body.taxRateBasisPoints),
        ...(body.deductions === undefined ? { preTax, postTax } : sumsOf(body.deductions)),
      });
    };
    return { ...changed(apply, target, ...names), restsOn: names };
  },
});

const createPayRun: OperationModel = {
  weight: 5,
  prerequisite: ({ employees }) => ([...employees.values()].some(isPayable) ? undefined : 'createEmployee'),
  request(books, random) {
    const { nat, pick, chance, unusual } = random;
    const { employees } = books;
    const first = anyId(employees, random, isPayable);
    const someone = employees.get(first);
    const usual = someone === undefined ? pick(FREQUENCIES) : termsOn(someone, '2026-06-30').frequency;
    const payFrequency = unusual(0.03) ? pick(FREQUENCIES) : usual;
    const periodNumber = 1 + nat(pick([3, PERIODS[payFrequency], PERIODS[payFrequency]]));
    const day = firstDayOf({ payFrequency, periodNumber });
    const currency = someone && termsOn(someone, day).currency;
    const alike = [...employees].filter(([, one]) => {
      const terms = termsOn(one, day);
      return terms.frequency === payFrequency && terms.currency === currency && !hasLeft(one, day);
    });
    const others = unusual(0.06) ? [anyId(employees, random)] : alike.slice(0, nat(4)).map(([id]) => id);
    return {
      body: {
        payFrequency,
        year: 2026,
        periodNumber,
        payDate: postingDay(books, random),
        ...(!unusual(0.08) && { employeeIds: [...new Set([first, ...others])] }),
        ...(chance(0.4) && { asDraft: true }),
      },
    };
  },
  answer({ employees, payRuns, settings }, { body }, { id, actor }) {
    const named: string[] | undefined = body.employeeIds;
    const day = firstDayOf(body);
    const paid = [...employees]
      .map(([employeeId, one]) => ({ employeeId, left: hasLeft(one, day), terms: termsOn(one, day) }))
      .filter(({ employeeId, left, terms }) =>
        named ? named.includes(employeeId) : terms.frequency === body.payFrequency && !left,
      );
    if (named && paid.length < named.length) return refusedAnyway(422, 'employee_not_found');
    if (paid.length === 0) return refused(422, 'no_employees');
    if (paid.some(({ terms }) => terms.frequency !== body.payFrequency)) return refused(422, 'pay_frequency_mismatch');
    if (paid.some(({ left }) => left)) return refused(422, 'employee_left');
    const [currency = '', another] = [...new Set(paid.map(({ terms }) => terms.currency))];
    if (another !== undefined) return refused(422, 'currency_mismatch');
    const slips = paid.map(({ terms }) => payslip(terms, body.periodNumber, settings.employerRate));
    if (slips.some((slip) => slip.taxable < 0n || slip.net < 0n)) return refused(422, 'deductions_exceed_pay');
    const gross = sumOf(slips, (slip) => slip.gross);
    if (gross === 0n) return refused(422, 'nothing_to_pay');
    const run: PayRun = {
      status: settings.approval || body.asDraft ? 'draft' : 'approved',
      by: actor,
      approvalRequired: settings.approval,
      date: body.payDate,
      currency,
      periods: paid.map(({ employeeId }) => `${employeeId} ${body.payFrequency} ${body.periodNumber}`),
      gross,
      tax: sumOf(slips, (slip) => slip.tax),
      deductions: sumOf(slips, (slip) => slip.deductions),
      net: sumOf(slips, (slip) => slip.net),
      employerTax: sumOf(slips, (slip) => slip.employerTax),
    };
    return over({ amount: gross, currency }).created(() => payRuns.set(id, run));
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
    return over({ amount: run.gross, currency: run.currency }).changed(
      () => Object.assign(run, { status: 'approved' }),
      target,
    );
  },
});

const executePayroll = workingOn(({ payRuns }) => payRuns, {
  weight: 5,
  fits: ({ status }) => status === 'approved',
  madeBy: 'createPayRun',
  notFound: [404, 'pay_run_not_found'],
  body: () => ({}),
  answer(run, { target }, books, write) {
    if (run.status === 'executed' || run.status === 'voided') return refused(409, 'pay_run_already_executed');
    if (run.status === 'draft') return refused(409, 'pay_run_not_approved');
    if (run.approvalRequired && run.by === write.actor) return refused(403, 'executor_is_creator');
    if (run.periods.some((period) => books.paidPeriods.has(period))) return refused(409, 'period_already_paid');
    if (isClosed(books, run.date)) return refused(409, 'period_closed');
    if (isFarAhead(run.date)) return refused(422, 'date_too_late');
    return over({ amount: run.gross, currency: run.currency }).changed(() => {
      for (const period of run.periods) books.paidPeriods.add(period);
      const lines = [
        ['6000', run.gross],
        ['6010', run.employerTax],
        ['2200', -run.tax - run.employerTax],
        ['2210', -run.deductions],
        ['2220', -run.net],
      ] as const;
      const entryId = post(books, { date: run.date, currency: run.currency, lines }, write);
      Object.assign(run, { status: 'executed', executedBy: write.actor, entryId });
    }, target);
  },
});

const voidPayRun = workingOn(({ payRuns }) => payRuns, {
  weight: 2,
  fits: ({ status }) => status === 'executed',
  madeBy: 'executePayroll',
  notFound: [404, 'pay_run_not_found'],
  body: (run, _id, books, random) => ({ reason: 'The wrong terms', date: postingDay(books, random, run?.date) }),
  answer(run, { target, body }, books, { actor }) {
    const entry = books.entries.get(run.entryId ?? '');
    if (run.status === 'voided') return refused(409, 'already_voided');
    if (entry === undefined) return refused(409, 'pay_run_not_executed');
    if (run.approvalRequired && run.executedBy === actor) return refused(403, 'voider_is_executor');
    if (body.date < run.date) return refused(422, 'date_before_original');
    if (isClosed(books, body.date)) return refused(409, 'period_closed');
    if (isFarAhead(body.date)) return refused(422, 'date_too_late');
    return over({ amount: run.gross, currency: run.currency }).changed(() => {
      for (const period of run.periods) books.paidPeriods.delete(period);
      run.status = 'voided';
      postMirror(books, entry, body.date);
    }, target);
  },
});

export const PAYROLL = { createEmployee, createPayRun, approvePayRun, executePayroll, updateEmployee, voidPayRun };

function drawSalary({ nat, pick, unusual }: Random): number {
  return unusual(0.06) ? pick([11, 99_999]) : pick([4_160_001, 5_000_000, 2_000_000 + nat(13_000_000)]);
}

function drawRate({ nat, pick }: Random): number {
  return pick([0, 2_000, 3_333, nat(4_500), 10_000]);
}

function drawDeductions({ nat, chance }: Random): readonly Deduction[] {
  return Array.from({ length: nat(3) }, () => ({ name: 'Pension', amount: 1 + nat(8_000), preTax: chance(0.5) }));
}

type Deduction = { readonly name: string; readonly amount: number; readonly preTax: boolean };

function sumsOf(deductions: readonly Deduction[]) {
  const sum = (preTax: boolean) => sumOf(deductions, (one) => (one.preTax === preTax ? BigInt(one.amount) : 0n));
  return { preTax: sum(true), postTax: sum(false) };
}

function emailOf(books: Books, random: Random): string {
  const taken = [...books.employees.values()].map(({ email }) => email.toUpperCase());
  return uniqueName(books, random, taken, (number) => `sam-${number}@example.test`);
}

function isTaken(employees: Books['employees'], email: string): boolean {
  return [...employees.values()].some((one) => one.email === email);
}

/** The first day of a period of 2026. */
function firstDayOf({ payFrequency, periodNumber: k }: { payFrequency: Frequency; periodNumber: number }): string {
  const days = { weekly: 7, biweekly: 14 };
  const day =
    payFrequency === 'weekly' || payFrequency === 'biweekly'
      ? Date.UTC(2026, 0, 1 + days[payFrequency] * (k - 1))
      : payFrequency === 'monthly'
        ? Date.UTC(2026, k - 1, 1)
        : Date.UTC(2026, Math.ceil(k / 2) - 1, k % 2 === 1 ? 1 : 16);
  return new Date(day).toISOString().slice(0, 10);
}

/** Of the terms that have begun by that day, those with the latest day; of several for one day, those given last. */
function termsOn({ terms }: Employee, day: string): Terms {
  const [first, ...others] = terms.filter(({ from }) => from <= day);
  if (first === undefined) throw new Error('Bug! An employee without terms of the beginning');
  return others.reduce((latest, one) => (one.from >= latest.from ? one : latest), first);
}

/** Whether one frequency would take the place of another on a day on which no period of one of them begins. */
function changesWithinPeriod(
  employee: Employee,
  { effectiveFrom: from, payFrequency }: { readonly effectiveFrom?: string; readonly payFrequency?: Frequency },
): boolean {
  if (from === undefined || payFrequency === undefined) return false;
  const before = termsOn({ ...employee, terms: employee.terms.filter((one) => one.from < from) }, from);
  const [next] = employee.terms
    .map((one) => one.from)
    .filter((day) => day > from)
    .toSorted();
  const breaks = (one: Frequency, other: Frequency, day: string) =>
    one !== other && !(beginsPeriod(one, day) && beginsPeriod(other, day));
  return (
    breaks(before.frequency, payFrequency, from) ||
    (next !== undefined && breaks(payFrequency, termsOn(employee, next).frequency, next))
  );
}

function beginsPeriod(frequency: Frequency, day: string): boolean {
  const dayOfYear = (Date.parse(day) - Date.UTC(Number(day.slice(0, 4)), 0, 1)) / 86_400_000;
  if (frequency === 'weekly') return dayOfYear % 7 === 0 && dayOfYear <= 7 * 51;
  if (frequency === 'biweekly') return dayOfYear % 14 === 0 && dayOfYear <= 14 * 25;
  return day.endsWith('-01') || (frequency === 'semimonthly' && day.endsWith('-16'));
}

function hasLeft({ leftOn }: Employee, day: string): boolean {
  return leftOn !== null && leftOn < day;
}

/** As far as the first period shows. */
function isPayable(employee: Employee): boolean {
  const { gross, taxable, net } = payslip(termsOn(employee, '2026-01-01'), 1, 0n);
  return gross > 0n && taxable >= 0n && net >= 0n && !hasLeft(employee, '2026-12-31');
}

function payslip(terms: Terms, period: number, employerRate: bigint) {
  const periods = BigInt(PERIODS[terms.frequency]);
  const until = (k: number) => (BigInt(k) * terms.salary) / periods;
  const gross = until(period) - until(period - 1);
  const taxable = gross - terms.preTax;
  const tax = divide(taxable * terms.rate, 10_000n);
  return {
    gross,
    taxable,
    tax,
    deductions: terms.preTax + terms.postTax,
    net: taxable - tax - terms.postTax,
    employerTax: divide(gross * employerRate, 10_000n),
  };
}
