-- The key that signs the cursors of lists: one for all processes, the same after a restart. It protects nothing but the form of
-- cursors from clients; what can be read from a position, row-level security decides. One row.
CREATE TABLE cursor_key (
  one boolean PRIMARY KEY DEFAULT true CHECK (one),
  key bytea NOT NULL CHECK (length(key) = 32),
  -- From then on cursors are signed: until then processes of the release before, which cannot read such cursors, may serve the
  -- next page.
  signed_from timestamptz NOT NULL,
  -- Until then cursors without a signature are read, too: consumers of events keep theirs for days.
  unsigned_until timestamptz NOT NULL CHECK (unsigned_until >= signed_from)
);
GRANT SELECT ON cursor_key TO accubooks_app;

-- A new installation has no cursors of before. gen_random_uuid has 122 random bits.
INSERT INTO cursor_key (key, signed_from, unsigned_until)
SELECT uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()),
  CASE WHEN a.used THEN now() + interval '7 days' ELSE now() END,
  CASE WHEN a.used THEN now() + interval '37 days' ELSE now() END
-- Not by a table of companies: without BYPASSRLS the owner sees none of their rows.
FROM (SELECT EXISTS (SELECT FROM schema_migrations WHERE applied_at < now() - interval '1 hour') AS used) AS a;
