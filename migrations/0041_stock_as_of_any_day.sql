-- Stock is not negative as of any day: what is taken on a day must be there on each day from then on, so a movement looks at
-- those that are dated later than it.

-- Takes the place of the index in the order of posting, which no statement of any release reads: a movement still has to be
-- entered into two indexes and not three.
CREATE INDEX inventory_movements_by_day ON inventory_movements (company_id, item_id, moved_on);
DROP INDEX inventory_movements_by_item;

-- Locks items in the order of their IDs, then reads them in a statement of its own, each with what moves it after the
-- earliest of the dates that are to be posted (`p_since`, in the order of `p_items`; null is today) and today: `later` has a
-- row per day, as text, since a JSON number would pass through a float; null when there is none. The items are those of
-- `lock_inventory_items`, which releases of before this one go on to call.
CREATE FUNCTION lock_stock(p_company uuid, p_items uuid[], p_since date[])
RETURNS TABLE (id uuid, sku text, name text, currency text, quantity bigint, value_minor bigint, created_at timestamptz,
  today date, later jsonb)
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  day date := company_today(p_company);
BEGIN
  PERFORM 1 FROM inventory_items i WHERE i.company_id = p_company AND i.id = ANY (p_items)
    ORDER BY i.id FOR NO KEY UPDATE;
  RETURN QUERY
    SELECT i.id, i.sku, i.name, i.currency, i.quantity, i.value_minor, i.created_at, day, (
      SELECT jsonb_agg(jsonb_build_object('day', l.moved_on, 'quantity', l.quantity::text, 'value', l.value::text)
        ORDER BY l.moved_on)
      FROM (
        SELECT m.moved_on, sum(m.quantity_delta) AS quantity, sum(m.value_delta_minor) AS value
        FROM inventory_movements m
        WHERE m.company_id = p_company AND m.item_id = i.id
          AND m.moved_on > least(p_since[array_position(p_items, i.id)], day)
        GROUP BY m.moved_on
      ) AS l
    )
    FROM inventory_items i WHERE i.company_id = p_company AND i.id = ANY (p_items);
END
$$;
