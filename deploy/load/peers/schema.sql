-- The tables of every contender but ours. Nothing but the key row guards a payment: payments has no unique index on the key,
-- so that a second one could happen and be seen.
CREATE TABLE idempotency_keys (
  company_id  text NOT NULL,
  key         text NOT NULL,
  fingerprint text NOT NULL,
  payment_id  uuid NOT NULL,
  -- text and not jsonb, which changes the order of members: a replay must have the same bytes.
  answer      text NOT NULL,
  created_at  timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (company_id, key)
);

CREATE TABLE payments (
  id           uuid PRIMARY KEY,
  company_id   text NOT NULL,
  key          text NOT NULL,
  invoice_id   uuid NOT NULL,
  amount_minor bigint NOT NULL CHECK (amount_minor > 0),
  currency     text NOT NULL,
  method       text NOT NULL,
  received_on  date NOT NULL,
  created_at   timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX payments_by_key ON payments (company_id, key);

CREATE TABLE journal_lines (
  payment_id   uuid NOT NULL REFERENCES payments (id),
  line_number  smallint NOT NULL,
  account_code text NOT NULL,
  amount_minor bigint NOT NULL,
  PRIMARY KEY (payment_id, line_number)
);

CREATE TABLE audit_log (
  id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  company_id text NOT NULL,
  payment_id uuid NOT NULL,
  detail     text NOT NULL,
  at         timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX audit_log_by_payment ON audit_log (payment_id);
