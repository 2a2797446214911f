-- Sets of movements of stock: adjustInventory in the form for many (0022_sets.sql).

-- lock_inventory_item for many: in the order of their IDs, and read in a later statement.
CREATE FUNCTION lock_inventory_items(p_company uuid, p_items uuid[]) RETURNS SETOF inventory_items
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  PERFORM 1 FROM inventory_items i WHERE i.company_id = p_company AND i.id = ANY (p_items)
    ORDER BY i.id FOR NO KEY UPDATE;
  RETURN QUERY SELECT * FROM inventory_items i WHERE i.company_id = p_company AND i.id = ANY (p_items);
END
$$;

-- Movements, each with the entry that posted it.
CREATE FUNCTION record_movements(p_company uuid, p_movements jsonb) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  INSERT INTO inventory_movements (company_id, id, item_id, quantity_delta, value_delta_minor, currency, reason, moved_on,
    journal_entry_id)
  SELECT p_company, m.id, m.item_id, m.quantity_delta, m.value_delta_minor, m.currency, m.reason, m.moved_on,
    m.journal_entry_id
  FROM jsonb_to_recordset(p_movements) AS m (id uuid, item_id uuid, quantity_delta bigint, value_delta_minor bigint,
    currency text, reason text, moved_on date, journal_entry_id uuid);
END
$$;

-- What movements change on their items. UPDATE … FROM joins one row: the sums come first.
CREATE FUNCTION move_stock(p_company uuid, p_movements jsonb) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  UPDATE inventory_items i SET quantity = i.quantity + m.quantity_delta, value_minor = i.value_minor + m.value_delta_minor
  FROM (
    SELECT n.item_id, sum(n.quantity_delta)::bigint AS quantity_delta,
      sum(n.value_delta_minor)::bigint AS value_delta_minor
    FROM jsonb_to_recordset(p_movements) AS n (item_id uuid, quantity_delta bigint, value_delta_minor bigint)
    GROUP BY n.item_id
  ) AS m
  WHERE i.company_id = p_company AND i.id = m.item_id
    AND i.id = ANY (ARRAY(SELECT n.item_id FROM jsonb_to_recordset(p_movements) AS n (item_id uuid)));
END
$$;
