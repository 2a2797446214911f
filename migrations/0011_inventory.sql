-- Stock: items in whole units with what they cost in all, and each movement of them.

CREATE TABLE inventory_items (
  company_id uuid NOT NULL REFERENCES companies,
  id uuid NOT NULL,
  sku text NOT NULL CHECK (length(sku) BETWEEN 1 AND 200),
  name text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
  currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
  quantity bigint NOT NULL CHECK (quantity >= 0),
  -- The average is value / quantity and never stored: it would be rounded.
  value_minor bigint NOT NULL CHECK (value_minor BETWEEN 0 AND 10000000000000),
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (company_id, id),
  CONSTRAINT inventory_items_sku_key UNIQUE (company_id, sku),
  -- The target of foreign keys by which movements have their item's currency.
  CONSTRAINT inventory_items_currency_key UNIQUE (company_id, id, currency),
  -- A unit costs at least 1 when it comes, and half away from zero no movement takes the average below that: value is zero
  -- exactly when quantity is, and every movement has a cost to post.
  CONSTRAINT inventory_items_worth_their_quantity CHECK (
    value_minor >= quantity AND (quantity = 0) = (value_minor = 0)
  )
);
CREATE INDEX inventory_items_newest ON inventory_items (company_id, created_at DESC, id DESC);

-- Its ID is the write's.
CREATE TABLE inventory_movements (
  company_id uuid NOT NULL,
  id uuid NOT NULL,
  item_id uuid NOT NULL,
  quantity_delta bigint NOT NULL CHECK (abs(quantity_delta) BETWEEN 1 AND 10000000000000),
  value_delta_minor bigint NOT NULL CHECK (abs(value_delta_minor) BETWEEN 1 AND 10000000000000),
  currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
  reason text NOT NULL CHECK (length(reason) BETWEEN 1 AND 500),
  moved_on date NOT NULL CHECK (moved_on BETWEEN '1900-01-01' AND '2999-12-31'),
  journal_entry_id uuid NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (company_id, id),
  CONSTRAINT inventory_movements_cost_follows_stock CHECK (sign(quantity_delta) = sign(value_delta_minor)),
  FOREIGN KEY (company_id, item_id, currency) REFERENCES inventory_items (company_id, id, currency),
  FOREIGN KEY (company_id, journal_entry_id) REFERENCES journal_entries (company_id, id)
);
CREATE INDEX inventory_movements_by_item ON inventory_movements (company_id, item_id, created_at DESC, id DESC);

-- Locks an item, then reads it in a statement of its own, which sees what the one before us left. No row: no such item.
CREATE FUNCTION lock_inventory_item(p_company uuid, p_item uuid) RETURNS SETOF inventory_items
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  PERFORM 1 FROM inventory_items i WHERE i.company_id = p_company AND i.id = p_item FOR NO KEY UPDATE;
  RETURN QUERY SELECT * FROM inventory_items i WHERE i.company_id = p_company AND i.id = p_item;
END
$$;

CREATE TRIGGER keep_movements BEFORE UPDATE OR DELETE ON inventory_movements
  FOR EACH ROW EXECUTE FUNCTION refuse_change('move the stock back');
CREATE TRIGGER keep_all_movements BEFORE TRUNCATE ON inventory_movements
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change('move the stock back');

ALTER TABLE inventory_items ENABLE ROW LEVEL SECURITY;
ALTER TABLE inventory_items FORCE ROW LEVEL SECURITY;
ALTER TABLE inventory_movements ENABLE ROW LEVEL SECURITY;
ALTER TABLE inventory_movements FORCE ROW LEVEL SECURITY;
CREATE POLICY company ON inventory_items USING (company_id = current_company());
CREATE POLICY company ON inventory_movements USING (company_id = current_company());
CREATE POLICY auditor ON inventory_items FOR SELECT TO accubooks_auditor USING (true);
CREATE POLICY auditor ON inventory_movements FOR SELECT TO accubooks_auditor USING (true);

GRANT SELECT, INSERT ON inventory_items, inventory_movements TO accubooks_app;
GRANT UPDATE (quantity, value_minor) ON inventory_items TO accubooks_app;
GRANT SELECT ON inventory_items, inventory_movements TO accubooks_auditor;
