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

-- Refuses what leaves less than nothing of an item, in units or in value, at the end of any day: of the release before, which
-- looks at the stock in all only, or of an INSERT by hand. A day that was negative before may stay so, or what puts it right
-- could not come in steps; it is not made worse. The item's row has the movement already, as in all releases (move_stock comes
-- first). Nothing is dated later, nearly always: then what is left is what the row says, which its own CHECKs keep, and the
-- last entry of the item in the index tells so. In a subquery that is a value: as EXISTS it would become a join, for which
-- the planner may read the whole table.
CREATE FUNCTION require_stock_as_of_any_day() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
  taken record;
  short date;
BEGIN
  FOR taken IN
    SELECT t.company_id, t.item_id, t.since
    FROM (
      SELECT a.company_id, a.item_id, min(a.moved_on) AS since FROM added a WHERE a.quantity_delta < 0
      GROUP BY a.company_id, a.item_id
    ) AS t
    WHERE t.since < (
      SELECT max(m.moved_on) FROM inventory_movements m WHERE m.company_id = t.company_id AND m.item_id = t.item_id
    )
    ORDER BY t.item_id
  LOOP
    -- Whoever moves stock without holding the item waits here for those who do.
    PERFORM 1 FROM inventory_items i WHERE i.company_id = taken.company_id AND i.id = taken.item_id FOR NO KEY UPDATE;
    SELECT min(d.day) INTO short
    FROM (
      SELECT m.day, i.quantity - coalesce(sum(m.quantity) OVER after_it, 0) AS quantity,
        i.value_minor - coalesce(sum(m.value_minor) OVER after_it, 0) AS value_minor
      FROM inventory_items i CROSS JOIN LATERAL (
        SELECT taken.since, 0, 0
        UNION ALL
        SELECT l.moved_on, sum(l.quantity_delta), sum(l.value_delta_minor) FROM inventory_movements l
        WHERE l.company_id = i.company_id AND l.item_id = i.id AND l.moved_on > taken.since
        GROUP BY l.moved_on
      ) AS m (day, quantity, value_minor)
      WHERE i.company_id = taken.company_id AND i.id = taken.item_id
      WINDOW after_it AS (ORDER BY m.day ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING)
    ) AS d
    CROSS JOIN LATERAL (
      SELECT sum(a.quantity_delta) AS quantity, sum(a.value_delta_minor) AS value_minor
      FROM added a WHERE a.company_id = taken.company_id AND a.item_id = taken.item_id AND a.moved_on <= d.day
    ) AS by_these
    WHERE d.quantity < 0 AND by_these.quantity < 0 OR d.value_minor < 0 AND by_these.value_minor < 0;
    IF short IS NOT NULL THEN
      RAISE EXCEPTION 'less than nothing would be left of item % as of %', taken.item_id, short
        USING ERRCODE = 'check_violation', CONSTRAINT = 'insufficient_stock';
    END IF;
  END LOOP;
  RETURN NULL;
END
$$;
CREATE TRIGGER require_stock_as_of_any_day AFTER INSERT ON inventory_movements
  REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION require_stock_as_of_any_day();
