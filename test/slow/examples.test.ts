import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { OPERATIONS } from '../../activities/operation-list.ts';
import type { Answer, ApiClient } from '../support/client.ts';
import { startDemoSystem } from '../support/demo.ts';
import { inForm } from '../support/form.ts';
import { examplesOf, fetchDocument, type RunnableExample } from '../support/openapi.ts';
import type { System } from '../support/system.ts';

const ORDERS: readonly [name: string, order: (examples: readonly RunnableExample[]) => RunnableExample[]][] = [
  ['in the order of the document', (examples) => [...examples]],
  ['backwards', (examples) => examples.toReversed()],
  ['sorted by name', (examples) => examples.toSorted((one, other) => (one.id < other.id ? -1 : 1))],
  [
    'from both ends to the middle',
    (examples) =>
      examples.map((_, index) => examples.at(index % 2 === 0 ? index / 2 : -(index + 1) / 2) as RunnableExample),
  ],
];

describe('the examples of the document run as they are against a freshly seeded demo company', () => {
  let system: System;
  let owner: ApiClient;
  beforeEach(async () => {
    ({ system, owner } = await startDemoSystem());
  });
  afterEach(() => system.stop());

  for (const [name, order] of inForm({ short: ORDERS.slice(1, 2), long: ORDERS })) {
    test(`${name}, replay byte for byte, and answer what the document says and their Location has`, async () => {
      const examples = inOrderOfYears(order(examplesOf(await fetchDocument(system.url))));
      expect(new Set(examples).size).toBe(OPERATIONS.flatMap((operation) => operation.examples).length);
      for (const { id, status, method, path, body } of examples) {
        const first = await owner.post(path, body, { method, key: id });
        expect([id, first.status, first.replayed]).toEqual([id, status, false]);
        const again = await owner.post(path, body, { method, key: id });
        expect([id, again.status, again.replayed, again.text]).toEqual([id, first.status, true, first.text]);
        expect(again.headers.get('location')).toBe(first.headers.get('location'));
        await expectAsDocumented(id, first);
      }
    });
  }

  async function expectAsDocumented(id: string, { json, headers }: Answer): Promise<void> {
    const schema = OPERATIONS.find(({ name }) => id.startsWith(`${name}:`))?.resource.schema;
    // parse() leaves out what the schema does not name.
    expect([id, schema?.parse(json)]).toEqual([id, json]);
    const read = await owner.get(headers.get('location') ?? '');
    expect(read.status).toBe(200);
    // At the `Location` of an import is the list of what it brought.
    expect(idsIn(read.json)).toEqual(idsIn(json));
    // Settings and access have no ID of their own: they are read whole.
    const whole = json.id === undefined && json.items === undefined;
    expect(whole ? read.json : json).toEqual(json);
  }
});

/** A year is reopened after it was closed; all the others come as they are. */
function inOrderOfYears(examples: readonly RunnableExample[]): RunnableExample[] {
  const isReopening = ({ path }: RunnableExample) => path.endsWith('/reopen');
  return [...examples.filter((example) => !isReopening(example)), ...examples.filter(isReopening)];
}

function idsIn(body: { id: string } | { items: readonly { id: string }[] }): string[] {
  return ('items' in body ? body.items : [body]).map(({ id }) => id).toSorted();
}
