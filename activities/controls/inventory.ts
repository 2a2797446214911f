import { ACCOUNTS } from '../ledger/accounts.ts';
import { type Control, dated } from './control.ts';

export const INVENTORY_CONTROLS: readonly Control[] = [
  {
    name: 'inventory',
    sentence: 'Inventory (1200) equals the total value of all items.',
    closesMonth: true,
    of: 'inventory_items',
    compares: { accountCode: ACCOUNTS.inventory },
    links: ['/api/ledger/trial-balance?asOf={through}', '/api/inventory/items'],
    sql: `
      SELECT company_id, currency, coalesce(sub.value_minor, 0) AS expected_minor,
        coalesce(books.amount_minor, 0) AS found_minor
      FROM (
        SELECT l.company_id, l.currency, sum(l.amount_minor) AS amount_minor
        FROM journal_lines l JOIN accounts a ON a.company_id = l.company_id AND a.id = l.account_id
        WHERE a.code = '${ACCOUNTS.inventory}' GROUP BY l.company_id, l.currency
      ) AS books
      FULL JOIN (
        SELECT company_id, currency, sum(value_minor) AS value_minor FROM inventory_items GROUP BY company_id, currency
      ) AS sub USING (company_id, currency)
      WHERE coalesce(books.amount_minor, 0) <> coalesce(sub.value_minor, 0)`,
    sqlAsOf: `
      SELECT company_id, currency, coalesce(sub.value_minor, 0) AS expected_minor,
        coalesce(books.amount_minor, 0) AS found_minor
      FROM (
        SELECT l.company_id, l.currency, sum(l.amount_minor) AS amount_minor
        FROM journal_lines l JOIN accounts a ON a.company_id = l.company_id AND a.id = l.account_id
        JOIN journal_entries e ON e.company_id = l.company_id AND e.id = l.entry_id
        WHERE a.code = '${ACCOUNTS.inventory}' AND e.entry_date <= $1::date GROUP BY l.company_id, l.currency
      ) AS books
      FULL JOIN (
        SELECT i.company_id, i.currency, sum(m.value_delta_minor) AS value_minor
        FROM inventory_movements m JOIN inventory_items i ON i.company_id = m.company_id AND i.id = m.item_id
        WHERE m.moved_on <= $1::date GROUP BY i.company_id, i.currency
      ) AS sub USING (company_id, currency)
      WHERE coalesce(books.amount_minor, 0) <> coalesce(sub.value_minor, 0)`,
  },
  {
    name: 'item-movements',
    sentence: 'The quantity and value of an item equal the sums of its movements.',
    closesMonth: true,
    of: 'inventory_items',
    links: ['/api/inventory/items/{id}'],
    sql: `
      SELECT i.company_id, i.id, i.quantity, i.value_minor, sum(m.quantity_delta) AS moved, sum(m.value_delta_minor) AS moved_minor
      FROM inventory_items i LEFT JOIN inventory_movements m ON m.company_id = i.company_id AND m.item_id = i.id
      GROUP BY i.company_id, i.id
      HAVING (i.quantity, i.value_minor) IS DISTINCT FROM
        (coalesce(sum(m.quantity_delta), 0), coalesce(sum(m.value_delta_minor), 0))`,
  },
  {
    name: 'stock-by-day',
    sentence: 'No item has a negative quantity or value as of any day.',
    closesMonth: true,
    of: 'inventory_movements',
    compares: { accountCode: ACCOUNTS.inventory },
    links: ['/api/inventory/items/{item_id}'],
    ...dated(
      ({ until, lastsInto }) => `
      SELECT company_id, item_id, currency, moved_on AS day, quantity, CASE WHEN value_minor < 0 THEN 0 END AS expected_minor,
        CASE WHEN value_minor < 0 THEN value_minor END AS found_minor
      FROM (
        SELECT m.company_id, m.item_id, m.currency, m.moved_on, lead(m.moved_on) OVER days AS next_day,
          sum(sum(m.quantity_delta)) OVER days AS quantity, sum(sum(m.value_delta_minor)) OVER days AS value_minor
        FROM inventory_movements m WHERE ${until('m.moved_on')} GROUP BY m.company_id, m.item_id, m.currency, m.moved_on
        WINDOW days AS (PARTITION BY m.company_id, m.item_id ORDER BY m.moved_on)
      ) AS d
      WHERE (quantity < 0 OR value_minor < 0) AND ${lastsInto('next_day')}`,
    ),
  },
  {
    name: 'movements-posted',
    sentence:
      'A movement of stock is posted with its cost and date: to 1200, and against 3000 for an opening quantity, otherwise 5100 or the account asked for.',
    closesMonth: true,
    of: 'inventory_movements',
    links: ['/api/ledger/entries/{entry_id}', '/api/inventory/items/{item_id}'],
    ...dated(
      ({ until }) => `
      WITH movement AS (
        SELECT m.company_id, m.journal_entry_id AS entry_id, m.moved_on AS day, m.currency, side.code, side.amount_minor,
          m.item_id::text AS item_id, NULL::bigint AS posted
        FROM inventory_movements m
        LEFT JOIN idempotent_writes w ON w.company_id = m.company_id AND w.write_id = m.id
        CROSS JOIN LATERAL (VALUES
          ('${ACCOUNTS.inventory}', m.value_delta_minor),
          (CASE w.operation WHEN 'createInventoryItem' THEN '${ACCOUNTS.equity}'
            ELSE coalesce(w.request -> 'body' ->> 'offsetAccountCode', '${ACCOUNTS.inventoryAdjustments}') END,
            -m.value_delta_minor)
        ) AS side (code, amount_minor)
        WHERE ${until('m.moved_on')}
      ), line AS (
        SELECT e.company_id, e.id AS entry_id, e.entry_date AS day, l.currency, a.code, -l.amount_minor AS amount_minor,
          NULL AS item_id, l.amount_minor AS posted
        FROM journal_entries e
        JOIN journal_lines l ON l.company_id = e.company_id AND l.entry_id = e.id
        JOIN accounts a ON a.company_id = l.company_id AND a.id = l.account_id
        WHERE e.operation IN ('createInventoryItem', 'adjustInventory') AND ${until('e.entry_date')}
      )
      SELECT company_id, entry_id, max(item_id) AS item_id, day, currency, code, sum(amount_minor) AS not_posted_minor
      FROM (SELECT * FROM movement UNION ALL SELECT * FROM line) AS both_sides
      GROUP BY company_id, entry_id, day, currency, code
      HAVING sum(amount_minor) <> 0 OR min(posted) < 0 AND max(posted) > 0`,
    ),
  },
];
