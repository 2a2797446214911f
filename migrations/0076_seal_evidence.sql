-- What others say of heads: of a time-stamp authority, its token. It shows to a reader who believes neither the owner of this
-- database nor the owner of the key since when a head has been there.

-- `proves_at`: since when at the latest, by the clock of whoever has given it.
CREATE TABLE seal_evidence (
  company_id uuid NOT NULL,
  log text NOT NULL CHECK (log IN ('journal', 'audit')),
  position integer NOT NULL,
  kind text NOT NULL CHECK (kind IN ('time-stamp')),
  evidence bytea NOT NULL CHECK (length(evidence) BETWEEN 1 AND 65536),
  proves_at timestamptz NOT NULL,
  kept_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (company_id, log, position, kind),
  FOREIGN KEY (company_id, log, position) REFERENCES seal_heads
);

CREATE TRIGGER keep_evidence BEFORE UPDATE OR DELETE ON seal_evidence
  FOR EACH ROW EXECUTE FUNCTION refuse_change('it is what somebody else has said');
CREATE TRIGGER keep_all_evidence BEFORE TRUNCATE ON seal_evidence
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change('it is what others have said');

ALTER TABLE seal_evidence ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY company ON seal_evidence FOR SELECT USING (company_id = current_company());
CREATE POLICY sealer ON seal_evidence TO accubooks_sealer USING (true);
CREATE POLICY auditor ON seal_evidence FOR SELECT TO accubooks_auditor USING (true);
CREATE POLICY relay ON seal_evidence FOR SELECT TO accubooks_relay USING (true);
GRANT SELECT ON seal_evidence TO accubooks_app, accubooks_auditor, accubooks_relay, accubooks_sealer;
GRANT INSERT ON seal_evidence TO accubooks_sealer;

-- For the worker of events: what there is of the heads that it tells a company's webhook.
CREATE FUNCTION time_stamps_of(p_company uuid, p_logs text[], p_positions integer[])
RETURNS TABLE (place integer, token text)
LANGUAGE plpgsql AS $$
BEGIN
  PERFORM enter_relay();
  RETURN QUERY
    SELECT k.place::integer, translate(encode(e.evidence, 'base64'), E'\n', '')
    FROM unnest(p_logs, p_positions) WITH ORDINALITY AS k (log, position, place)
    JOIN seal_evidence e ON e.company_id = p_company AND e.log = k.log AND e.position = k.position AND e.kind = 'time-stamp';
END
$$;
