import { z } from 'zod';
import { stepsLeft } from '../controls/steps-left.ts';
import type { Tx } from '../database.ts';
import {
  basisPoints,
  currency,
  date,
  dayOfYear,
  days,
  description,
  name,
  timeZone,
  tolerance,
  version,
  webhookUrl,
} from '../fields.ts';
import { TAX_ROUNDINGS } from '../money.ts';
import { defineOperation, type WriteContext } from '../operation.ts';
import { SETTINGS_COLUMNS, type SettingsRow, settingsResource, toSettings } from '../resources/settings.ts';
import type { SecurityFact } from '../security/security-row.ts';
import { webhookUrlFault } from '../webhooks/url.ts';

/** Ten years: what is posted further ahead is a mistyped date. */
const MAX_LATEST_POSTING_DAYS = 3_660;

const settingsBody = z
  .strictObject({
    expectedVersion: version(),
    name: name().optional(),
    timeZone: timeZone().optional(),
    baseCurrency: currency().optional(),
    booksClosedThrough: date().nullable().optional(),
    requireFinished: z
      .boolean()
      .optional()
      .meta({ description: 'Closes only if each step of closing through `booksClosedThrough` is done' }),
    reopenReason: description().optional(),
    fiscalYearEnd: dayOfYear()
      .optional()
      .meta({ description: 'MM-DD; 02-29 is the last day of February. Holds for the years that are not closed' }),
    latestPostingDays: days(MAX_LATEST_POSTING_DAYS).optional(),
    taxRounding: z
      .enum(TAX_ROUNDINGS)
      .optional()
      .meta({ description: 'Holds for the invoices that are made from now on' }),
    employerTaxRateBasisPoints: basisPoints().optional(),
    payRunApprovalRequired: z
      .boolean()
      .optional()
      .meta({ description: 'Holds for the pay runs that are made from now on' }),
    reconcileTolerance: tolerance().nullable().optional(),
    webhookUrl: webhookUrl().nullable().optional(),
    webhookSecretVersion: version().optional(),
  })
  .refine(({ requireFinished, booksClosedThrough }) => requireFinished !== true || booksClosedThrough != null, {
    path: ['requireFinished'],
    message: 'needs booksClosedThrough, with a day',
  });

export const updateCompanySettings = defineOperation({
  name: 'updateCompanySettings',
  type: 'high-risk',
  summary: 'Change the settings of the company',
  description:
    'Changes the given settings if the current version is `expectedVersion`. `booksClosedThrough` closes the books through that ' +
    'day; only an owner can move it back or reopen all books (`null`), and must give a `reopenReason` for the audit log. It cannot ' +
    'be moved to before the end of a closed fiscal year, which has to be reopened first. ' +
    'With `requireFinished`, the change is refused unless each step of closing through that day is done: each bank transaction up to it ' +
    'is reconciled, and each approved pay run up to it is executed. ' +
    'Nothing is posted that is dated more than `latestPostingDays` after today. ' +
    '`taxRounding` rounds tax on each line, or once per rate over the invoice (`document`). ' +
    '`baseCurrency` is the default for new customers and cannot change once anything was invoiced or posted. ' +
    '`webhookSecretVersion` rotates the secret and must be the next version; for 24 hours calls are signed with both secrets. ' +
    '`webhookUrl: null` removes the webhook. ' +
    'Reconciling with a difference of more than `reconcileTolerance` needs a reason; with `null`, none does.',
  method: 'PATCH',
  path: '/api/company/settings',
  params: z.strictObject({}),
  body: settingsBody,
  schemaVersion: 5,
  roles: ['owner', 'admin'],
  successStatus: 200,
  resource: settingsResource,
  event: 'company_settings.updated',
  effects: { posts: 'never' },
  rejections: {
    version_conflict: { status: 409, title: 'The settings were changed meanwhile', nextAction: 'fix_request' },
    reopen_not_allowed: { status: 403, title: 'Only an owner can reopen closed books' },
    reopen_reason_required: {
      status: 422,
      title: 'Reopening closed books requires a reason',
      nextAction: 'fix_request',
    },
    fiscal_year_closed: {
      status: 409,
      title: 'A fiscal year that ends after that day is closed',
      about: { in: 'body', pointer: '/booksClosedThrough' },
    },
    month_not_finished: { status: 409, title: 'A step of closing the books through that day is not done' },
    base_currency_in_use: { status: 409, title: 'The base currency cannot change once the books are in use' },
    time_zone_unknown: { status: 422, title: 'There is no such time zone', nextAction: 'fix_request' },
    webhook_url_not_allowed: { status: 422, title: 'Webhooks cannot be sent to that URL', nextAction: 'fix_request' },
    webhook_secret_version_not_next: {
      status: 422,
      title: 'The secret version is not the next one',
      nextAction: 'fix_request',
    },
  },
  constraints: {
    companies_webhook_secret_is_next: 'webhook_secret_version_not_next',
    fiscal_year_closed: 'fiscal_year_closed',
  },
  examples: [
    {
      name: 'settings',
      summary: 'Change the name and the time zone that defines the company’s days',
      params: {},
      body: { expectedVersion: 2, name: 'Demo Ltd', timeZone: 'Europe/London' },
    },
  ],
  summarize: ({ body }) => `updateCompanySettings from version ${body.expectedVersion}`,

  async write(tx, { body }, context) {
    const [locked] = await tx.query<SettingsRow & { member_roles: string[] | null }>(
      `SELECT ${SETTINGS_COLUMNS}, member_roles
       FROM (SELECT (l.company).*, l.member_roles FROM lock_company_row($1, $2) AS l) AS locked`,
      [context.companyId, context.userId],
    );
    if (locked === undefined) throw new Error('Bug! The company has no row');
    if (body.expectedVersion !== locked.version) {
      throw context.reject('version_conflict', `The settings are at version ${locked.version}.`, '/expectedVersion');
    }
    const reopens = isReopening(body.booksClosedThrough, locked.books_closed_through);
    if (reopens && !locked.member_roles?.includes('owner')) {
      throw context.reject(
        'reopen_not_allowed',
        'Only an owner can move the closing date back.',
        '/booksClosedThrough',
      );
    }
    if (reopens && body.reopenReason === undefined) {
      throw context.reject('reopen_reason_required', 'reopenReason is required to reopen the books.', '/reopenReason');
    }
    if (body.baseCurrency !== undefined && body.baseCurrency !== locked.base_currency) {
      await refuseWhenInUse(tx, context);
    }
    if (body.timeZone !== undefined) await refuseUnknownTimeZone(tx, body.timeZone, context);
    const fault = body.webhookUrl == null ? undefined : webhookUrlFault(body.webhookUrl, context.allowPrivateWebhooks);
    if (fault !== undefined) throw context.reject('webhook_url_not_allowed', `${fault}.`, '/webhookUrl');
    if (body.requireFinished && body.booksClosedThrough != null) {
      await refuseUnfinished(tx, body.booksClosedThrough, context);
    }

    const row = await update(tx, body, context);
    if (body.webhookUrl === null) await tx.query('SELECT give_up_webhook_events($1)', ['The webhook was removed']);
    const { expectedVersion: _version, requireFinished: _condition, reopenReason, ...changes } = body;
    return {
      resourceId: context.companyId,
      location: settingsResource.reads,
      body: toSettings(row),
      auditMetadata: {
        changed: Object.keys(changes),
        ...(reopens ? { reopenReason, closedThroughBefore: locked.books_closed_through } : {}),
      },
      security: controlsLowered(locked, row),
    };
  },
});

function isReopening(wanted: string | null | undefined, closedThrough: string | null): boolean {
  if (wanted === undefined || closedThrough === null) return false;
  return wanted === null || wanted < closedThrough;
}

/** A control that protects the books less than before. Raising one is in the audit log alone. */
function controlsLowered(old: SettingsRow, current: SettingsRow): SecurityFact[] {
  const changes = [
    {
      setting: 'booksClosedThrough',
      before: old.books_closed_through,
      after: current.books_closed_through,
      lowered: isReopening(current.books_closed_through, old.books_closed_through),
    },
    {
      setting: 'latestPostingDays',
      before: old.latest_posting_days,
      after: current.latest_posting_days,
      lowered: old.latest_posting_days < current.latest_posting_days,
    },
    {
      setting: 'payRunApprovalRequired',
      before: old.pay_run_approval_required,
      after: current.pay_run_approval_required,
      lowered: old.pay_run_approval_required && !current.pay_run_approval_required,
    },
    {
      setting: 'reconcileTolerance',
      before: toSettings(old).reconcileTolerance,
      after: toSettings(current).reconcileTolerance,
      lowered: isWider(current.reconcile_tolerance_minor, old.reconcile_tolerance_minor),
    },
  ];
  return changes
    .filter(({ lowered }) => lowered)
    .map(({ setting, before, after }) => ({ event: 'control_lowered', reason: setting, details: { before, after } }));
}

/** Whether more may now be reconciled without a reason; null is no limit. */
function isWider(current: bigint | null, old: bigint | null): boolean {
  return old !== null && (current === null || current > old);
}

/** Nothing can be posted meanwhile: that takes the company's row too. */
async function refuseWhenInUse(tx: Tx, context: WriteContext<'base_currency_in_use'>): Promise<void> {
  const [books] = await tx.query<{ in_use: boolean }>(
    `SELECT EXISTS (SELECT FROM journal_entries e WHERE e.company_id = $1)
       OR EXISTS (SELECT FROM invoices i WHERE i.company_id = $1) AS in_use`,
    [context.companyId],
  );
  if (books?.in_use)
    throw context.reject('base_currency_in_use', 'The books already contain invoices or entries.', '/baseCurrency');
}

/** The company's row is locked, and what could leave a step undone takes it, too: none comes until the books are closed. */
async function refuseUnfinished(tx: Tx, through: string, context: WriteContext<'month_not_finished'>): Promise<void> {
  const left = await stepsLeft(tx, through);
  if (left.length > 0) throw context.reject('month_not_finished', left.join(' '), '/booksClosedThrough');
}

async function refuseUnknownTimeZone(
  tx: Tx,
  wanted: string,
  context: WriteContext<'time_zone_unknown'>,
): Promise<void> {
  const [found] = await tx.query<{ known: boolean }>(
    'SELECT EXISTS (SELECT FROM pg_timezone_names z WHERE z.name = $1) AS known',
    [wanted],
  );
  if (!found?.known) throw context.reject('time_zone_unknown', `There is no time zone ${wanted}.`, '/timeZone');
}

/** A setting that can be null needs a flag of its own, because null means "remove" and not "unchanged". */
async function update(tx: Tx, body: z.output<typeof settingsBody>, { companyId }: WriteContext): Promise<SettingsRow> {
  const [row] = await tx.query<SettingsRow>(
    `UPDATE companies SET
       name = coalesce($2, name),
       time_zone = coalesce($3, time_zone),
       base_currency = coalesce($4, base_currency),
       books_closed_through = CASE WHEN $5 THEN $6::date ELSE books_closed_through END,
       employer_tax_rate_basis_points = coalesce($7, employer_tax_rate_basis_points),
       pay_run_approval_required = coalesce($8, pay_run_approval_required),
       webhook_url = CASE WHEN $9 THEN $10 ELSE webhook_url END,
       webhook_secret_version = coalesce($11, webhook_secret_version),
       latest_posting_days = coalesce($12, latest_posting_days),
       tax_rounding = coalesce($13, tax_rounding),
       reconcile_tolerance_minor = CASE WHEN $14 THEN $15::bigint ELSE reconcile_tolerance_minor END,
       fiscal_year_end = coalesce($16, fiscal_year_end)
     WHERE id = $1 RETURNING ${SETTINGS_COLUMNS}`,
    [
      companyId,
      body.name ?? null,
      body.timeZone ?? null,
      body.baseCurrency ?? null,
      body.booksClosedThrough !== undefined,
      body.booksClosedThrough ?? null,
      body.employerTaxRateBasisPoints ?? null,
      body.payRunApprovalRequired ?? null,
      body.webhookUrl !== undefined,
      body.webhookUrl ?? null,
      body.webhookSecretVersion ?? null,
      body.latestPostingDays ?? null,
      body.taxRounding ?? null,
      body.reconcileTolerance !== undefined,
      body.reconcileTolerance ?? null,
      body.fiscalYearEnd ?? null,
    ],
  );
  if (row === undefined) throw new Error('Bug! The locked company does not exist');
  return row;
}
