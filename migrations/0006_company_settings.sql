-- The settings that operations rest on: payroll's rates and approvals, and where a company's events go.

ALTER TABLE companies
  ADD COLUMN employer_tax_rate_basis_points integer NOT NULL DEFAULT 765
    CHECK (employer_tax_rate_basis_points BETWEEN 0 AND 10000),
  ADD COLUMN pay_run_approval_required boolean NOT NULL DEFAULT false,
  ADD COLUMN webhook_url text CHECK (length(webhook_url) BETWEEN 1 AND 2000),
  ADD COLUMN webhook_secret_version integer NOT NULL DEFAULT 1 CHECK (webhook_secret_version >= 1),
  -- Old and new secret sign side by side for a day after a rotation; NULL: never rotated.
  ADD COLUMN webhook_secret_rotated_at timestamptz;
