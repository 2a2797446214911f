import { z } from 'zod';
import { toWireAmount } from '../money.ts';
import type { ResourceType } from '../operation.ts';
import { PAY_FREQUENCIES, type PayFrequency } from './employee.ts';
import { calendarDate, currencyCode, instant, money, resourceId } from './members.ts';

/** A pay run without its payslips, from `pay_runs r`. */
export const PAY_RUN_ROW_COLUMNS = `r.id, r.status, r.pay_frequency, r.year, r.period_number, r.pay_date, r.currency,
  r.gross_minor, r.pre_tax_deductions_minor, r.tax_minor, r.post_tax_deductions_minor, r.net_minor, r.employer_tax_minor,
  r.created_by, r.approval_required, r.approved_by, r.executed_by, r.journal_entry_id, r.created_at, r.voided_on,
  r.void_reason, r.voided_by, r.void_entry_id`;

/**
 * The API's form of a pay run and its columns, from `pay_runs r`. The payslips' amounts are JSON numbers: an amount is at
 * most 10^13, which a JSON number represents exactly.
 */
export const PAY_RUN_COLUMNS = `${PAY_RUN_ROW_COLUMNS}, (
    SELECT json_agg(json_build_object('employeeId', s.employee_id, 'gross', s.gross_minor,
      'preTaxDeductions', s.pre_tax_deductions_minor, 'tax', s.tax_minor,
      'postTaxDeductions', s.post_tax_deductions_minor, 'net', s.net_minor, 'employerTax', s.employer_tax_minor)
      ORDER BY s.employee_id)
    FROM payslips s WHERE s.company_id = r.company_id AND s.pay_run_id = r.id
  ) AS payslips`;

const PAY_RUN_STATUSES = ['draft', 'approved', 'executed', 'voided'] as const;
type PayRunStatus = (typeof PAY_RUN_STATUSES)[number];

export type PayRunRow = {
  id: string;
  status: PayRunStatus;
  pay_frequency: PayFrequency;
  year: number;
  period_number: number;
  pay_date: string;
  currency: string;
  gross_minor: bigint;
  pre_tax_deductions_minor: bigint;
  tax_minor: bigint;
  post_tax_deductions_minor: bigint;
  net_minor: bigint;
  employer_tax_minor: bigint;
  created_by: string;
  /** The company's setting when the run was made. If true, the creator may neither approve nor execute the run. */
  approval_required: boolean;
  approved_by: string | null;
  executed_by: string | null;
  journal_entry_id: string | null;
  created_at: string;
  voided_on: string | null;
  void_reason: string | null;
  voided_by: string | null;
  void_entry_id: string | null;
  payslips: z.output<typeof payslipSchema>[];
};

export function toPayRun(row: PayRunRow): z.output<typeof payRunSchema> {
  return {
    id: row.id,
    status: row.status,
    payFrequency: row.pay_frequency,
    year: row.year,
    periodNumber: row.period_number,
    payDate: row.pay_date,
    currency: row.currency,
    payslips: row.payslips,
    totals: {
      gross: toWireAmount(row.gross_minor),
      preTaxDeductions: toWireAmount(row.pre_tax_deductions_minor),
      tax: toWireAmount(row.tax_minor),
      postTaxDeductions: toWireAmount(row.post_tax_deductions_minor),
      net: toWireAmount(row.net_minor),
      employerTax: toWireAmount(row.employer_tax_minor),
    },
    journalEntryId: row.journal_entry_id,
    createdBy: row.created_by,
    approvalRequired: row.approval_required,
    approvedBy: row.approved_by,
    executedBy: row.executed_by,
    createdAt: row.created_at,
    voidedOn: row.voided_on,
    voidReason: row.void_reason,
    voidedBy: row.voided_by,
    voidEntryId: row.void_entry_id,
  };
}

/**
 * Not limited like a single amount, since a run has up to 5,000 payslips. Below 2^53 all the same: each is at most a twelfth
 * of the largest salary, and the total at most 4.2·10^15.
 */
const sum = () => z.int().min(0).meta({ description: 'Minor units; the sum of the payslips' });

const payslipSchema = z.object({
  employeeId: resourceId(),
  gross: money(),
  preTaxDeductions: money(),
  tax: money(),
  postTaxDeductions: money(),
  net: money(),
  employerTax: money(),
});

export const payRunSchema = z.object({
  id: resourceId(),
  status: z.enum(PAY_RUN_STATUSES),
  payFrequency: z.enum(PAY_FREQUENCIES),
  year: z.int(),
  periodNumber: z.int().min(1).max(52),
  payDate: calendarDate(),
  currency: currencyCode(),
  payslips: z.array(payslipSchema),
  totals: z.object({
    gross: sum(),
    preTaxDeductions: sum(),
    tax: sum(),
    postTaxDeductions: sum(),
    net: sum(),
    employerTax: sum(),
  }),
  journalEntryId: resourceId().nullable(),
  createdBy: resourceId().meta({ description: 'The user who created the run' }),
  approvalRequired: z.boolean().meta({
    description:
      'Whether the company required approval when the run was made. If true, someone other than the creator has to approve ' +
      'the run, and the creator cannot execute it, whatever the settings say later.',
  }),
  approvedBy: resourceId().nullable().meta({ description: 'Null if no approval was required' }),
  executedBy: resourceId().nullable(),
  createdAt: instant(),
  voidedOn: calendarDate().nullable().meta({ description: 'The date of the entry that takes it back' }),
  voidReason: z.string().nullable(),
  voidedBy: resourceId().nullable(),
  voidEntryId: resourceId().nullable(),
});

export const payRunResource: ResourceType = { type: 'payRun', reads: '/api/payroll/pay-runs', schema: payRunSchema };
