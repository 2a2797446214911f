import { describe, expect, test } from 'vitest';
import { inTheWay, MAX_IN_THE_WAY } from '../../activities/controls/in-the-way.ts';

const MORE = ' There are more than 20; these are the first ones.';
const rows = (count: number) =>
  Array.from({ length: count }, (_, id) => ({
    id,
    entry: `e${id}`,
    currency: 'USD',
    expected_minor: 0,
    found_minor: 1,
  }));

describe('what is in the way, when it is as much as is told, and one more', () => {
  const step = { name: 'a-step', detail: 'Not so.', links: ['/api/things/{id}'] };

  test('is one item with the first URLs', () => {
    const [exactly] = inTheWay(step, rows(MAX_IN_THE_WAY), '2026-01-31');
    expect([exactly?.resources.length, exactly?.detail]).toEqual([20, 'Not so.']);
    const [above] = inTheWay(step, rows(MAX_IN_THE_WAY + 1), '2026-01-31');
    expect([above?.resources.length, above?.detail]).toEqual([20, `Not so.${MORE}`]);
  });

  test('counts URLs, where a row has two', () => {
    const links = ['/api/things/{id}', '/api/entries/{entry}'];
    const [item] = inTheWay({ ...step, links }, rows(11), '2026-01-31');
    expect([item?.resources.length, item?.detail]).toEqual([20, `Not so.${MORE}`]);
  });

  test('is an item for each row that compares amounts, and the last one says that there are more', () => {
    const compares = { accountCode: '1100' };
    const details = (count: number) =>
      inTheWay({ ...step, compares }, rows(count), '2026-01-31').map(({ detail }) => detail);
    expect(details(20)).toEqual(Array.from({ length: 20 }, () => 'Not so.'));
    expect(details(21)).toEqual([...Array.from({ length: 19 }, () => 'Not so.'), `Not so.${MORE}`]);
  });
});
