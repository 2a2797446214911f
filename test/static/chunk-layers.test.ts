import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { layersOf } from '../../activities/write/chunk-layers.ts';
import { createNamedSet } from '../../activities/write/named-resources.ts';

type Row = { readonly id: number; readonly args: { readonly operation: string }; readonly names: readonly string[] };

/** Operations in capitals can share a set. */
const canShareSet = ({ args: { operation } }: Row) => operation === operation.toUpperCase();
const layersBy = (...rows: readonly (readonly [operation: string, ...names: string[]])[]) =>
  layersOf(rows.map(toRow), canShareSet).map((layer) => layer.map(({ id }) => id));

function toRow([operation, ...names]: readonly [string, ...string[]], id: number): Row {
  return { id, args: { operation }, names };
}

describe('the rows of a chunk', () => {
  test('that have nothing in common are one layer', () => {
    expect(layersBy(['a', 'x'], ['A', 'y'], ['b', 'z'])).toEqual([[0, 1, 2]]);
    expect(layersBy()).toEqual([]);
  });

  test('that name the same are made one after another, unless they can share a set', () => {
    expect(layersBy(['a', 'x'], ['a', 'x'], ['a', 'y'], ['b', 'x'])).toEqual([[0, 2], [1], [3]]);
    expect(layersBy(['A', 'x'], ['A', 'x'], ['A', 'x'])).toEqual([[0, 1, 2]]);
    expect(layersBy(['A', 'x'], ['B', 'x'], ['A', 'x'], ['A', 'x'])).toEqual([[0], [1], [2, 3]]);
  });

  test('with one key do not share a set', () => {
    expect(layersBy(['A', 'key:k', 'x'], ['A', 'key:k', 'x'])).toEqual([[0], [1]]);
  });

  test('go behind each that they have something in common with', () => {
    expect(layersBy(['A', 'x'], ['b', 'x'], ['c', 'x', 'y'], ['A', 'y'], ['A', 'z'])).toEqual([[0, 4], [1], [2], [3]]);
  });

  test('need no order for what they share, and are all before or behind one that does not share it', () => {
    expect(layersBy(['a', '~x'], ['b', '~x'], ['c', 'x'], ['a', '~x'], ['b', '~x'])).toEqual([[0, 1], [2], [3, 4]]);
    expect(layersBy(['a', 'y', '~x'], ['b', 'y', '~x'], ['c', '~x'], ['d', 'x'])).toEqual([[0, 2], [1], [3]]);
    expect(layersBy(['A', '~x'], ['A', 'x'], ['A', '~x'])).toEqual([[0, 1, 2]]);
    expect(layersBy(['A', '~x'], ['b', '~x'], ['A', 'x'])).toEqual([[0, 1], [2]]);
    expect(layersBy(['A', '~x'], ['A', 'x'], ['b', 'x'])).toEqual([[0, 1], [2]]);
  });
});

test('whichever they are, each row is in one layer, and those that keep their order are in it', () => {
  const name = fc.constantFrom('x', '~x', 'y', '~y', 'z', 'key:1', 'key:2', 'key:3');
  const rows = fc.array(fc.tuple(fc.constantFrom('A', 'B', 'c', 'd'), fc.uniqueArray(name, { maxLength: 3 })), {
    maxLength: 20,
  });
  fc.assert(
    fc.property(rows, (some) => {
      const all = some.map(([operation, names], id) => toRow([operation, ...names], id));
      const layers = layersOf(all, canShareSet);
      expect(
        layers
          .flat()
          .map(({ id }) => id)
          .toSorted((a, b) => a - b),
      ).toEqual(all.map(({ id }) => id));
      for (const layer of layers)
        expect(layer.map(({ id }) => id)).toEqual(layer.map(({ id }) => id).toSorted((a, b) => a - b));
      const layerOf = new Map(layers.flatMap((layer, index) => layer.map(({ id }) => [id, index] as const)));
      const outOfOrder = all.flatMap((later) =>
        all.slice(0, later.id).filter((earlier) => {
          const set = createNamedSet();
          set.add(earlier.names);
          if (!set.meets(later.names)) return false;
          const [before, behind] = [layerOf.get(earlier.id) ?? 0, layerOf.get(later.id) ?? 0];
          const isSet =
            canShareSet(later) &&
            earlier.args.operation === later.args.operation &&
            !earlier.names.some((one) => one.startsWith('key:') && later.names.includes(one));
          return isSet ? before > behind : before >= behind;
        }),
      );
      expect(outOfOrder).toEqual([]);
    }),
  );
});
