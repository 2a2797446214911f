-- The movements of all items of a company, newest first: a page of them is read without sorting all. Those of one item have
-- inventory_movements_by_day.
CREATE INDEX inventory_movements_newest ON inventory_movements (company_id, moved_on DESC, created_at DESC, id DESC);
