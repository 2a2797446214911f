import type { Control } from '../control.ts';
import { differences, writesOf } from './compare.ts';

/** The columns of the row `c` of a company, by the members of its answers. */
const SETTINGS = {
  name: 'c.name',
  timeZone: 'c.time_zone',
  baseCurrency: 'c.base_currency',
  booksClosedThrough: 'c.books_closed_through',
  fiscalYearEnd: 'c.fiscal_year_end',
  latestPostingDays: 'c.latest_posting_days',
  taxRounding: 'c.tax_rounding',
  employerTaxRateBasisPoints: 'c.employer_tax_rate_basis_points',
  payRunApprovalRequired: 'c.pay_run_approval_required',
  reconcileTolerance: 'c.reconcile_tolerance_minor',
  webhookUrl: 'c.webhook_url',
  webhookSecretVersion: 'c.webhook_secret_version',
  webhookSecretRotatedAt: 'c.webhook_secret_rotated_at',
};

/** Of the company itself: rows against the answers stored for them. */
export const COMPANY_ANSWERS: readonly Control[] = [
  {
    name: 'trigger-answers',
    sentence: 'A workflow trigger says what its answer said.',
    closesMonth: false,
    of: writesOf('triggerWorkflow'),
    sql: differences({
      operations: ['triggerWorkflow'],
      rows: 'JOIN workflow_triggers t ON t.company_id = w.company_id AND t.id = w.write_id',
      id: 't.id',
      members: {
        workflowName: 't.workflow_name',
        workflowId: 't.workflow_id',
        payload: 't.payload',
        createdAt: 't.created_at',
      },
    }),
  },
  {
    name: 'settings-answers',
    sentence: 'The settings are those that were answered with their version.',
    closesMonth: false,
    of: writesOf('updateCompanySettings'),
    sql: differences({
      operations: ['updateCompanySettings'],
      // Without an answer for the current version, somebody changed them by SQL, within the rules: triggers counted it.
      rows: `JOIN companies c ON c.id = w.company_id AND c.version = (a.body ->> 'version')::int`,
      id: 'c.id',
      members: SETTINGS,
    }),
  },
  {
    name: 'settings-history',
    sentence:
      'The history of the settings has each version, as it was answered and with the write that made it; the last one is what holds. None but the first was made by SQL, since there is a history.',
    closesMonth: false,
    of: 'settings_versions',
    sql: `${differences({
      operations: ['updateCompanySettings'],
      rows: `
      LEFT JOIN settings_versions v ON v.company_id = w.company_id AND v.version = (a.body ->> 'version')::int
      CROSS JOIN LATERAL jsonb_populate_record(NULL::companies, v.settings) AS c`,
      id: 'w.company_id',
      members: { version: 'CASE WHEN v.write_id = w.write_id THEN v.version END', ...SETTINGS },
    })}
      UNION ALL
      SELECT c.id, NULL, NULL, c.id::text, 'version ' || c.version FROM companies c
      LEFT JOIN settings_versions v ON v.company_id = c.id AND v.version = c.version
      WHERE jsonb_populate_record(c, v.settings) IS DISTINCT FROM c
        OR (SELECT count(*) FROM settings_versions k WHERE k.company_id = c.id) IS DISTINCT FROM c.version
      UNION ALL
      -- Of a version that is older than the history, neither who made it is known nor when.
      SELECT company_id, NULL, NULL, company_id::text, 'version ' || version FROM settings_versions
      WHERE version > 1 AND write_id IS NULL AND num_nonnulls(login, changed_at) > 0`,
  },
  {
    name: 'policy-answers',
    sentence: 'Each version of the approval policies is the one that was answered.',
    closesMonth: false,
    of: 'approval_policies',
    sql: differences({
      operations: ['updateApprovalPolicies'],
      rows: `LEFT JOIN approval_policies p ON p.company_id = w.company_id AND p.write_id = w.write_id`,
      id: 'w.company_id',
      members: { version: 'p.version', policies: 'p.policies' },
    }),
  },
  {
    name: 'access-answers',
    sentence:
      'A member has the roles of the last answer about them. Whoever has none is there since the company began, with one role, and only one of them as owner. There is an owner.',
    closesMonth: false,
    of: writesOf('grantUserAccess'),
    sql: `${differences({
      operations: ['grantUserAccess'],
      rows: `
      JOIN (
        SELECT company_id, resource_id, max(completed_at) AS at FROM ${writesOf('grantUserAccess')} GROUP BY 1, 2
      ) AS last ON last.company_id = w.company_id AND last.resource_id = w.resource_id AND last.at = w.completed_at
      LEFT JOIN memberships m ON m.company_id = w.company_id AND m.user_id = (a.body ->> 'userId')::uuid
      CROSS JOIN LATERAL (SELECT to_jsonb(coalesce(m.roles, '{}')) AS roles OFFSET 0) AS now`,
      id: 'w.resource_id',
      members: {
        roles: `CASE WHEN now.roles @> (a.body -> 'roles') AND now.roles <@ (a.body -> 'roles') THEN a.body -> 'roles'
          ELSE now.roles END`,
      },
    })}
      UNION ALL
      SELECT company_id, NULL, NULL, user_id::text, 'roles' FROM (
        SELECT m.company_id, m.user_id, m.roles, m.created_at = c.created_at AS of_old,
          count(*) FILTER (WHERE 'owner' = ANY (m.roles)) OVER (PARTITION BY m.company_id) AS owners
        FROM memberships m JOIN companies c ON c.id = m.company_id
        WHERE NOT EXISTS (
          SELECT FROM idempotent_writes w WHERE w.company_id = m.company_id AND w.resource_id = m.user_id::text
            AND w.outcome = 'succeeded' AND w.operation = 'grantUserAccess')
      ) AS never_granted
      WHERE NOT of_old OR cardinality(roles) > 1 OR 'owner' = ANY (roles) AND owners > 1
      UNION ALL
      SELECT c.id, NULL, NULL, c.id::text, 'owner' FROM companies c
      WHERE NOT EXISTS (SELECT FROM memberships m WHERE m.company_id = c.id AND 'owner' = ANY (m.roles))`,
  },
];
