-- What banks say of their accounts, and the lines of the books that it has been matched with.

CREATE TABLE bank_transactions (
  company_id uuid NOT NULL,
  id uuid NOT NULL,
  -- The write that imported it.
  import_id uuid NOT NULL,
  account_id uuid NOT NULL,
  bank_reference text COLLATE "C" NOT NULL CHECK (length(bank_reference) BETWEEN 1 AND 200),
  booked_on date NOT NULL CHECK (booked_on BETWEEN '1900-01-01' AND '2999-12-31'),
  -- Signed as the account's lines are: money that came in is positive.
  amount_minor bigint NOT NULL CHECK (amount_minor <> 0 AND abs(amount_minor) <= 10000000000000),
  currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
  description text NOT NULL CHECK (length(description) BETWEEN 1 AND 500),
  -- The write that reconciled it, for as long as that stands.
  reconciled_by uuid,
  status text NOT NULL GENERATED ALWAYS AS (
    CASE WHEN reconciled_by IS NULL THEN 'unreconciled' ELSE 'reconciled' END
  ) STORED,
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (company_id, id),
  -- Banks number each account for themselves: two accounts may well have the same reference.
  CONSTRAINT bank_transactions_reference_key UNIQUE (company_id, account_id, bank_reference),
  CONSTRAINT bank_transactions_reconciled_by_key UNIQUE (company_id, reconciled_by),
  FOREIGN KEY (company_id, import_id) REFERENCES idempotent_writes (company_id, write_id),
  FOREIGN KEY (company_id, account_id) REFERENCES accounts (company_id, id),
  FOREIGN KEY (company_id, reconciled_by) REFERENCES idempotent_writes (company_id, write_id)
);
CREATE INDEX bank_transactions_newest ON bank_transactions (company_id, booked_on DESC, created_at DESC, id DESC);
CREATE INDEX bank_transactions_by_import ON bank_transactions (company_id, import_id);

-- A line of a bank account that is accounted for: by a bank transaction, or, without one, by the entry that reverses its
-- own: the two lines make up for each other, and no bank will ever tell of them. So a line is matched or reversed, never
-- both, and the unique index decides between the two. What is undone stays, as the history of the line.
CREATE TABLE bank_matches (
  company_id uuid NOT NULL,
  matched_by uuid NOT NULL,
  journal_line_id uuid NOT NULL,
  bank_transaction_id uuid,
  undone_by uuid,
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (company_id, matched_by, journal_line_id),
  FOREIGN KEY (company_id, matched_by) REFERENCES idempotent_writes (company_id, write_id),
  FOREIGN KEY (company_id, journal_line_id) REFERENCES journal_lines (company_id, id),
  FOREIGN KEY (company_id, bank_transaction_id) REFERENCES bank_transactions (company_id, id),
  FOREIGN KEY (company_id, undone_by) REFERENCES idempotent_writes (company_id, write_id)
);
CREATE UNIQUE INDEX bank_matches_line_once ON bank_matches (company_id, journal_line_id) WHERE undone_by IS NULL;
CREATE INDEX bank_matches_by_transaction ON bank_matches (company_id, bank_transaction_id) WHERE undone_by IS NULL;

-- A bank transaction is reconciled to the minor unit, by lines of its own account and currency, or not at all.
CREATE FUNCTION require_whole_reconciliation() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
  transaction_id uuid;
  whole boolean;
BEGIN
  IF TG_TABLE_NAME = 'bank_transactions' THEN
    transaction_id := NEW.id;
  ELSE
    transaction_id := NEW.bank_transaction_id;
  END IF;
  SELECT CASE
      WHEN t.reconciled_by IS NULL THEN count(m.journal_line_id) = 0
      ELSE coalesce(sum(l.amount_minor) = t.amount_minor
        AND bool_and(l.account_id = t.account_id AND l.currency = t.currency AND m.matched_by = t.reconciled_by), false)
    END INTO whole
  FROM bank_transactions t
  LEFT JOIN bank_matches m ON m.company_id = t.company_id AND m.bank_transaction_id = t.id AND m.undone_by IS NULL
  LEFT JOIN journal_lines l ON l.company_id = m.company_id AND l.id = m.journal_line_id
  WHERE t.company_id = NEW.company_id AND t.id = transaction_id
  GROUP BY t.company_id, t.id;
  IF NOT whole THEN
    RAISE EXCEPTION 'bank transaction % is not what it is matched with', transaction_id
      USING ERRCODE = 'check_violation', CONSTRAINT = 'bank_transaction_reconciled_whole';
  END IF;
  RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER require_whole_reconciliation AFTER UPDATE OF reconciled_by ON bank_transactions
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION require_whole_reconciliation();
CREATE CONSTRAINT TRIGGER require_whole_reconciliation AFTER INSERT OR UPDATE ON bank_matches
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.bank_transaction_id IS NOT NULL)
  EXECUTE FUNCTION require_whole_reconciliation();

CREATE TRIGGER keep_bank_transactions BEFORE DELETE OR UPDATE OF company_id, id, import_id, account_id, bank_reference,
    booked_on, amount_minor, currency, description, created_at ON bank_transactions
  FOR EACH ROW EXECUTE FUNCTION refuse_change('what the bank said stays as it said it');
CREATE TRIGGER keep_all_bank_transactions BEFORE TRUNCATE ON bank_transactions
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change('what the bank said stays as it said it');
CREATE TRIGGER keep_matches BEFORE DELETE OR UPDATE OF company_id, matched_by, journal_line_id, bank_transaction_id,
    created_at ON bank_matches
  FOR EACH ROW EXECUTE FUNCTION refuse_change('a match is undone, and stays as history');
CREATE TRIGGER keep_undone_matches BEFORE UPDATE ON bank_matches
  FOR EACH ROW WHEN (OLD.undone_by IS NOT NULL) EXECUTE FUNCTION refuse_change('a match is undone once');
CREATE TRIGGER keep_all_matches BEFORE TRUNCATE ON bank_matches
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change('a match is undone, and stays as history');

ALTER TABLE bank_transactions ENABLE ROW LEVEL SECURITY;
ALTER TABLE bank_transactions FORCE ROW LEVEL SECURITY;
ALTER TABLE bank_matches ENABLE ROW LEVEL SECURITY;
ALTER TABLE bank_matches FORCE ROW LEVEL SECURITY;
CREATE POLICY company ON bank_transactions USING (company_id = current_company());
CREATE POLICY company ON bank_matches USING (company_id = current_company());
CREATE POLICY auditor ON bank_transactions FOR SELECT TO accubooks_auditor USING (true);
CREATE POLICY auditor ON bank_matches FOR SELECT TO accubooks_auditor USING (true);

GRANT SELECT ON bank_transactions, bank_matches TO accubooks_app, accubooks_auditor;
GRANT INSERT (company_id, id, import_id, account_id, bank_reference, booked_on, amount_minor, currency, description)
  ON bank_transactions TO accubooks_app;
GRANT UPDATE (reconciled_by) ON bank_transactions TO accubooks_app;
GRANT INSERT (company_id, matched_by, journal_line_id, bank_transaction_id) ON bank_matches TO accubooks_app;
GRANT UPDATE (undone_by) ON bank_matches TO accubooks_app;
