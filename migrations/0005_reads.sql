-- What the lists need beside what the writes need. Customers, invoices, payments and writes are listed by indexes that
-- stand with their tables.

-- Entries are listed and paged by date, within a day as they were posted; (company_id, entry_date) alone would sort a
-- whole day, and a day of imports has many thousands.
CREATE INDEX journal_entries_newest ON journal_entries (company_id, entry_date DESC, created_at DESC, id DESC);
DROP INDEX journal_entries_by_date;
