-- Heads of the seal, which leave the database: whoever changes a log later would have to change them everywhere.

-- The public keys that have signed heads: 32 bytes each, Ed25519. The private ones are with the sealer alone.
CREATE TABLE seal_keys (
  key_id text PRIMARY KEY CHECK (length(key_id) BETWEEN 1 AND 64),
  public_key bytea NOT NULL CHECK (length(public_key) = 32),
  first_used_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- `head` is the text that was signed; docs/seal-format.md has its members, of which some are columns here. It covers the batches
-- from `first_number` on. `announced_at`: when it left the database, NULL until then.
CREATE TABLE seal_heads (
  company_id uuid NOT NULL REFERENCES companies,
  log text NOT NULL CHECK (log IN ('journal', 'audit')),
  position integer NOT NULL CHECK (position >= 1),
  epoch integer NOT NULL REFERENCES seal_epochs,
  first_number bigint NOT NULL CHECK (first_number >= 1),
  number bigint NOT NULL,
  head text NOT NULL CHECK (length(head) <= 1000),
  key_id text NOT NULL CHECK (length(key_id) <= 64) REFERENCES seal_keys,
  signature bytea NOT NULL CHECK (length(signature) = 64),
  published_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  announced_at timestamptz,
  PRIMARY KEY (company_id, log, position),
  CHECK (number >= first_number)
);
CREATE INDEX seal_heads_not_announced ON seal_heads (published_at) WHERE announced_at IS NULL;

CREATE TRIGGER keep_keys BEFORE UPDATE OR DELETE ON seal_keys
  FOR EACH ROW EXECUTE FUNCTION refuse_change('heads that it has signed are out');
CREATE TRIGGER keep_all_keys BEFORE TRUNCATE ON seal_keys
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change('heads that they have signed are out');
CREATE TRIGGER keep_heads BEFORE DELETE OR UPDATE OF company_id, log, position, epoch, first_number, number, head, key_id,
  signature, published_at ON seal_heads FOR EACH ROW EXECUTE FUNCTION refuse_change('it is published');
CREATE TRIGGER keep_all_heads BEFORE TRUNCATE ON seal_heads
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change('they are published');

ALTER TABLE seal_heads ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY company ON seal_heads FOR SELECT USING (company_id = current_company());
CREATE POLICY sealer ON seal_heads TO accubooks_sealer USING (true);
CREATE POLICY auditor ON seal_heads FOR SELECT TO accubooks_auditor USING (true);
GRANT SELECT ON seal_keys, seal_heads TO accubooks_app, accubooks_auditor, accubooks_sealer;
GRANT INSERT ON seal_keys, seal_heads TO accubooks_sealer;
GRANT UPDATE (announced_at) ON seal_heads TO accubooks_sealer;

-- For the worker of events, which tells a company's webhook the heads of its logs. The old secret signs for so long as it does
-- in next_webhook_call.
CREATE FUNCTION webhook_of(p_company uuid)
RETURNS TABLE (webhook_url text, secret_version integer, old_secret_signs boolean, now timestamptz)
LANGUAGE plpgsql AS $$
BEGIN
  PERFORM enter_relay();
  RETURN QUERY
    SELECT c.webhook_url, c.webhook_secret_version,
      coalesce(c.webhook_secret_rotated_at > now() - interval '24 hours', false), now()
    FROM companies c WHERE c.id = p_company;
END
$$;
