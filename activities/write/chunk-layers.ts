import type { WriteArguments } from '../../workflows/messages.ts';
import { bareName, isKeyName, isShared } from './named-resources.ts';

type Row = { readonly args: Pick<WriteArguments, 'operation'>; readonly names: readonly string[] };

/**
 * Rows of one company, in layers that are to be made one after another. Rows of a layer need no order among them, but for
 * those of one operation that can share a set, where each is decided after those before it. The rows of a layer are in their
 * order.
 */
export function layersOf<R extends Row>(
  rows: readonly R[],
  canShareSet: (row: R) => boolean,
): readonly (readonly R[])[] {
  const layers: R[][] = [];
  const last = new Map<string, Places>();
  for (const row of rows) {
    const setOf = canShareSet(row) ? row.args.operation : undefined;
    let layer = 0;
    for (const name of row.names) {
      const { alone, shared } = last.get(bareName(name)) ?? {};
      for (const before of isShared(name) ? [alone] : [alone, shared]) {
        if (before === undefined) continue;
        // No set has a key twice.
        const canJoin = setOf !== undefined && before.setOf === setOf && !isKeyName(name);
        layer = Math.max(layer, canJoin ? before.layer : before.layer + 1);
      }
    }
    const those = layers[layer];
    if (those === undefined) layers.push([row]);
    else those.push(row);
    for (const name of row.names) {
      const before = last.get(bareName(name));
      const place = { layer, setOf };
      last.set(bareName(name), isShared(name) ? { ...before, shared: later(before?.shared, place) } : { alone: place });
    }
  }
  return layers;
}

/** `setOf`: the operation of the rows in that layer that have the name, where these can share a set. */
type Place = { readonly layer: number; readonly setOf: string | undefined };

/** Where a name was had last: not shared, and shared since then. */
type Places = { readonly alone?: Place; readonly shared?: Place };

function later(before: Place | undefined, place: Place): Place {
  if (before === undefined || before.layer < place.layer) return place;
  if (before.layer > place.layer || before.setOf === place.setOf) return before;
  return { layer: place.layer, setOf: undefined };
}
