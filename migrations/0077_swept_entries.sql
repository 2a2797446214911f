-- The sweep of the seal goes on behind the last entry that it has looked at, however many of a company are sealed already.
-- `swept_entry`: its company, day, time and ID.
ALTER TABLE seal_position ADD COLUMN swept_entry jsonb
  CHECK (jsonb_typeof(swept_entry) = 'object' AND pg_column_size(swept_entry) <= 1000);
GRANT UPDATE (swept_entry) ON seal_position TO accubooks_sealer;
