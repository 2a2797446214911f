import { z } from 'zod';
import { TAX_ROUNDINGS, type TaxRounding, toWireAmount } from '../money.ts';
import type { ResourceType } from '../operation.ts';
import { calendarDate, currencyCode, instant, money } from './members.ts';

/** The API's form of the company settings and their columns. */
export const SETTINGS_COLUMNS = `version, name, time_zone, base_currency, books_closed_through, fiscal_year_end, latest_posting_days, tax_rounding,
  employer_tax_rate_basis_points, pay_run_approval_required, reconcile_tolerance_minor, webhook_url, webhook_secret_version,
  webhook_secret_rotated_at`;

export type SettingsRow = {
  version: number;
  name: string;
  time_zone: string;
  base_currency: string;
  books_closed_through: string | null;
  fiscal_year_end: string;
  latest_posting_days: number;
  tax_rounding: TaxRounding;
  employer_tax_rate_basis_points: number;
  pay_run_approval_required: boolean;
  reconcile_tolerance_minor: bigint | null;
  webhook_url: string | null;
  webhook_secret_version: number;
  webhook_secret_rotated_at: string | null;
};

/** A setting that is asked for, and the column that has it. The history of the settings tells how each has changed. */
export const COLUMN_OF_SETTING = {
  name: 'name',
  timeZone: 'time_zone',
  baseCurrency: 'base_currency',
  booksClosedThrough: 'books_closed_through',
  fiscalYearEnd: 'fiscal_year_end',
  latestPostingDays: 'latest_posting_days',
  taxRounding: 'tax_rounding',
  employerTaxRateBasisPoints: 'employer_tax_rate_basis_points',
  payRunApprovalRequired: 'pay_run_approval_required',
  reconcileTolerance: 'reconcile_tolerance_minor',
  webhookUrl: 'webhook_url',
  webhookSecretVersion: 'webhook_secret_version',
} as const satisfies Record<Setting, keyof SettingsRow>;

export type Setting = Exclude<keyof z.output<typeof settingsSchema>, 'version' | 'webhookSecretRotatedAt'>;

export function toSettings(row: SettingsRow): z.output<typeof settingsSchema> {
  return {
    version: row.version,
    name: row.name,
    timeZone: row.time_zone,
    baseCurrency: row.base_currency,
    booksClosedThrough: row.books_closed_through,
    fiscalYearEnd: row.fiscal_year_end,
    latestPostingDays: row.latest_posting_days,
    taxRounding: row.tax_rounding,
    employerTaxRateBasisPoints: row.employer_tax_rate_basis_points,
    payRunApprovalRequired: row.pay_run_approval_required,
    reconcileTolerance: row.reconcile_tolerance_minor === null ? null : toWireAmount(row.reconcile_tolerance_minor),
    webhookUrl: row.webhook_url,
    webhookSecretVersion: row.webhook_secret_version,
    webhookSecretRotatedAt: row.webhook_secret_rotated_at,
  };
}

export const settingsSchema = z.object({
  version: z.int().min(1).meta({ description: 'Incremented by each change' }),
  name: z.string(),
  timeZone: z.string(),
  baseCurrency: currencyCode(),
  booksClosedThrough: calendarDate().nullable(),
  fiscalYearEnd: z.string().meta({ description: 'MM-DD; 02-29 is the last day of February' }),
  latestPostingDays: z.int().min(0).max(3_660),
  taxRounding: z.enum(TAX_ROUNDINGS),
  employerTaxRateBasisPoints: z.int().min(0).max(10_000),
  payRunApprovalRequired: z.boolean(),
  reconcileTolerance: money().nullable().meta({ description: 'Minor units; null: no difference needs a reason' }),
  webhookUrl: z.string().nullable(),
  webhookSecretVersion: z.int().min(1),
  webhookSecretRotatedAt: instant().nullable(),
});

/** One resource per company, at the same path for each. */
export const settingsResource: ResourceType = {
  type: 'settings',
  reads: '/api/company/settings',
  schema: settingsSchema,
};
