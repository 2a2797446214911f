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
      SELECT company_id, item_id, currency, moved_on AS day, quantity, greatest(value_minor, 0) AS expected_minor,
        value_minor AS found_minor
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
    sentence: 'A movement of stock is posted to 1200 with its cost and date.',
    closesMonth: true,
    of: 'inventory_movements',
    links: ['/api/inventory/items/{item_id}'],
    ...dated(
      ({ until }) => `
      SELECT m.company_id, m.id, m.item_id, m.moved_on, m.value_delta_minor FROM inventory_movements m
      WHERE ${until('m.moved_on')} AND NOT EXISTS (
        SELECT FROM journal_entries e
        JOIN journal_lines l ON l.company_id = e.company_id AND l.entry_id = e.id
        JOIN accounts a ON a.company_id = l.company_id AND a.id = l.account_id AND a.code = '${ACCOUNTS.inventory}'
        WHERE e.company_id = m.company_id AND e.id = m.journal_entry_id AND e.entry_date = m.moved_on
          AND l.amount_minor = m.value_delta_minor AND l.currency = m.currency)`,
    ),
  },
];
