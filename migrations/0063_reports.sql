-- The movements of all items of a company, newest first: a page of them is read without sorting all. Those of one item have
-- inventory_movements_by_day.
CREATE INDEX inventory_movements_newest ON inventory_movements (company_id, moved_on DESC, created_at DESC, id DESC);

-- The movements of an item are listed in the order of posting, so that the quantity after each is that of then. now() tells when the
-- transaction began, which may have waited for the item; and is the same for all movements of a set, which come in their order.
ALTER TABLE inventory_movements ALTER COLUMN created_at SET DEFAULT clock_timestamp();
CREATE OR REPLACE FUNCTION record_movements(p_company uuid, p_movements jsonb) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  posted_at timestamptz := clock_timestamp();
BEGIN
  INSERT INTO inventory_movements (company_id, id, item_id, quantity_delta, value_delta_minor, currency, reason, moved_on,
    journal_entry_id, created_at)
  SELECT p_company, m.id, m.item_id, m.quantity_delta, m.value_delta_minor, m.currency, m.reason, m.moved_on,
    m.journal_entry_id, posted_at + (m.place - 1) * interval '1 microsecond'
  FROM ROWS FROM (jsonb_to_recordset(p_movements) AS (id uuid, item_id uuid, quantity_delta bigint, value_delta_minor bigint,
    currency text, reason text, moved_on date, journal_entry_id uuid)) WITH ORDINALITY
    AS m (id, item_id, quantity_delta, value_delta_minor, currency, reason, moved_on, journal_entry_id, place);
END
$$;
