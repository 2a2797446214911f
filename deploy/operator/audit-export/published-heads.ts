/** A head as a bundle has it: docs/seal-format.md. */
export type PublishedHead = {
  readonly head: string;
  readonly keyId: string;
  readonly signature: string;
  readonly timeStamp?: string;
};

/** A row of `seal_heads`, which is `h`, with its time stamp. */
export type HeadRow = {
  readonly head: string;
  readonly key_id: string;
  readonly signature: Buffer;
  readonly time_stamp: Buffer | null;
};

export const TIME_STAMP_OF_HEAD = `LEFT JOIN seal_evidence e ON e.company_id = h.company_id AND e.log = h.log
  AND e.position = h.position AND e.kind = 'time-stamp'`;

export function publishedOf({ head, key_id: keyId, signature, time_stamp: token }: HeadRow): PublishedHead {
  const published = { head, keyId, signature: signature.toString('base64') };
  return token === null ? published : { ...published, timeStamp: token.toString('base64') };
}
