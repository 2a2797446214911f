-- Tokens that are refused although they have not expired, by their ID (the claim jti): `token:revoke` adds one. Few, since
-- no token lives longer than a day; every API process reads all of them every few seconds. Rows stay, as a record.
CREATE TABLE revoked_tokens (
  token_id text PRIMARY KEY CHECK (length(token_id) BETWEEN 1 AND 255),
  reason text NOT NULL CHECK (length(reason) BETWEEN 1 AND 500),
  -- The login, and the user of the operating system who ran the command.
  revoked_by text NOT NULL CHECK (length(revoked_by) BETWEEN 1 AND 200),
  revoked_at timestamptz NOT NULL DEFAULT now()
);
GRANT SELECT (token_id) ON revoked_tokens TO accubooks_app;
GRANT SELECT ON revoked_tokens TO accubooks_auditor;
