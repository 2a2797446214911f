import { hash } from 'node:crypto';

/**
 * The digests of the seal: chain and Merkle tree over the contents of rows. docs/seal-format.md describes them byte by byte, and
 * test/support/verify_seal.py is an implementation in Python that shares no code with this one.
 */

/** SHA-256, 32 bytes. */
export type Digest = Buffer;

/** Before the first row of a log. */
export const NO_DIGEST: Digest = Buffer.alloc(32);

/** What is hashed is put together in place: every row of every company passes here. */
const link = Buffer.alloc(72);
const node = Buffer.alloc(65, 1);

/** `hash` makes a string in half the time of a buffer. */
function sha256(data: string | Buffer): Digest {
  return Buffer.from(hash('sha256', data, 'binary'), 'binary');
}

/** A leaf of the tree (RFC 6962, section 2.1): SHA-256 of 0x00 and the content. */
export function leafOf(content: string): Digest {
  return sha256(`\0${content}`);
}

/** The chain's next digest: SHA-256 of the one before, the row's number (8 bytes, big-endian) and its leaf. */
export function nextInChain(previous: Digest, number: bigint, leaf: Digest): Digest {
  previous.copy(link);
  link.writeBigUInt64BE(number, 32);
  leaf.copy(link, 40);
  return sha256(link);
}

/** The Merkle tree hash of at least one leaf (RFC 6962, section 2.1). */
export function rootOf(leaves: readonly Digest[]): Digest {
  const [only] = leaves;
  if (only === undefined) throw new RangeError('A tree has at least one leaf');
  // Level by level: the last node of an odd level has no neighbour and rises as it is, which gives the tree of the RFC.
  let level: readonly Digest[] = leaves;
  while (level.length > 1) level = pairs(level);
  return level[0] ?? only;
}

/** A node beside the path from a leaf to the root, and the side on which it stands. */
export type PathNode = { readonly side: 'left' | 'right'; readonly digest: Digest };

/** The audit path (RFC 6962, section 2.1.1) of the leaf at `index`, from the leaf upwards. */
export function pathTo(index: number, leaves: readonly Digest[]): PathNode[] {
  if (!(index in leaves)) throw new RangeError(`There is no leaf ${index}`);
  const path: PathNode[] = [];
  let level: readonly Digest[] = leaves;
  for (let at = index; level.length > 1; at >>= 1) {
    const isRight = at % 2 === 1;
    const beside = level[isRight ? at - 1 : at + 1];
    if (beside !== undefined) path.push({ side: isRight ? 'left' : 'right', digest: beside });
    level = pairs(level);
  }
  return path;
}

/** The root to which a path leads from a leaf. */
export function rootFrom(leaf: Digest, path: readonly PathNode[]): Digest {
  return path.reduce(
    (found, { side, digest }) => (side === 'left' ? nodeOf(digest, found) : nodeOf(found, digest)),
    leaf,
  );
}

function pairs(level: readonly Digest[]): Digest[] {
  const above: Digest[] = [];
  for (let i = 0; i < level.length; i += 2) {
    const [left, right] = [level[i] as Digest, level[i + 1]];
    above.push(right === undefined ? left : nodeOf(left, right));
  }
  return above;
}

function nodeOf(left: Digest, right: Digest): Digest {
  left.copy(node, 1);
  right.copy(node, 33);
  return sha256(node);
}
