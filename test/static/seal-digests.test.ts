import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { leafOf, NO_DIGEST, nextInChain, pathTo, rootFrom, rootOf } from '../../activities/seal/digests.ts';

const hex = (digest: Buffer) => digest.toString('hex');
const sha256 = (...parts: Buffer[]) => createHash('sha256').update(Buffer.concat(parts)).digest();

describe('the Merkle tree', () => {
  /** The inputs of RFC 6962's reference implementation, and the roots that it gives for the first 1, 2, … of them. */
  const INPUTS = ['', '00', '10', '2021', '3031', '40414243', '5051525354555657', '606162636465666768696a6b6c6d6e6f'];
  const ROOTS = [
    '6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d',
    'fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125',
    'aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77',
    'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7',
    '4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4',
    '76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef',
    'ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c',
    '5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328',
  ];
  const leaves = INPUTS.map((input) => sha256(Buffer.of(0), Buffer.from(input, 'hex')));

  test('has the roots of RFC 6962’s reference implementation', () => {
    expect(ROOTS.map((_, i) => hex(rootOf(leaves.slice(0, i + 1))))).toEqual(ROOTS);
  });

  test('leads from each leaf of each size to its root, and from no other leaf', () => {
    for (let size = 1; size <= leaves.length; size += 1) {
      const tree = leaves.slice(0, size);
      for (const [index, leaf] of tree.entries()) {
        const path = pathTo(index, tree);
        expect(hex(rootFrom(leaf, path))).toBe(ROOTS[size - 1]);
        expect(hex(rootFrom(sha256(leaf), path))).not.toBe(ROOTS[size - 1]);
      }
    }
  });

  test('has no root without a leaf, and no path to a leaf that it does not have', () => {
    expect(() => rootOf([])).toThrow('at least one leaf');
    expect(() => pathTo(2, leaves.slice(0, 2))).toThrow('There is no leaf 2');
  });
});

describe('the chain', () => {
  test('goes on with the digest before, the number in 8 bytes and the leaf', () => {
    const leaf = leafOf('{"a":1}');
    expect(hex(leaf)).toBe(hex(sha256(Buffer.of(0), Buffer.from('{"a":1}'))));
    const first = nextInChain(NO_DIGEST, 1n, leaf);
    expect(hex(first)).toBe(hex(sha256(Buffer.alloc(32), Buffer.from('0000000000000001', 'hex'), leaf)));
    const later = nextInChain(first, 2n ** 40n, leaf);
    expect(hex(later)).toBe(hex(sha256(first, Buffer.from('0000010000000000', 'hex'), leaf)));
  });
});
