-- Which registered workflow was asked for, by whom and with what. Its event in the outbox has it started.

CREATE TABLE workflow_triggers (
  company_id uuid NOT NULL,
  id uuid NOT NULL,
  workflow_name text NOT NULL CHECK (length(workflow_name) BETWEEN 1 AND 64),
  -- The event's ID: however often the event is handed on, one workflow is started.
  workflow_id uuid NOT NULL,
  payload jsonb NOT NULL CHECK (pg_column_size(payload) <= 65536),
  user_id uuid NOT NULL REFERENCES users,
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (company_id, id),
  -- A trigger's ID is its write's.
  FOREIGN KEY (company_id, id) REFERENCES idempotent_writes (company_id, write_id)
);
CREATE INDEX workflow_triggers_newest ON workflow_triggers (company_id, created_at DESC, id DESC);
CREATE TRIGGER keep_triggers BEFORE UPDATE OR DELETE ON workflow_triggers
  FOR EACH ROW EXECUTE FUNCTION refuse_change('it has happened');
CREATE TRIGGER keep_all_triggers BEFORE TRUNCATE ON workflow_triggers
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change('it has happened');

ALTER TABLE workflow_triggers ENABLE ROW LEVEL SECURITY;
ALTER TABLE workflow_triggers FORCE ROW LEVEL SECURITY;
CREATE POLICY company ON workflow_triggers USING (company_id = current_company());
CREATE POLICY auditor ON workflow_triggers FOR SELECT TO accubooks_auditor USING (true);
GRANT SELECT, INSERT ON workflow_triggers TO accubooks_app;
GRANT SELECT ON workflow_triggers TO accubooks_auditor;
