import { z } from 'zod';
import { resourceId } from '../../activities/resources/members.ts';
import { SEALED_LOGS } from '../../activities/seal/content.ts';
import { MISSING_REASONS } from '../writes/proof.ts';

const digest = () => z.string().regex(/^[0-9a-f]{64}$/);
const pathOfDigests = () => z.array(z.object({ side: z.enum(['left', 'right']), digest: digest() }));

/** What docs/seal-format.md calls a proof of inclusion, for each row of a write. */
export const writeProofSchema = z.object({
  companyId: resourceId(),
  key: z.string(),
  writeId: resourceId().nullable(),
  rows: z
    .array(
      z.object({
        log: z.enum(SEALED_LOGS),
        number: z.int().min(1),
        content: z.string().meta({ description: 'The text that was sealed: canonical JSON (RFC 8785)' }),
        leaf: digest(),
        path: pathOfDigests().meta({ description: 'From the leaf to the root of its batch' }),
        batchPath: pathOfDigests().meta({ description: 'From that root to the one in the head' }),
        head: z
          .object({ head: z.string(), keyId: z.string(), signature: z.string(), timeStamp: z.string().optional() })
          .meta({
            description:
              'The first published head that covers the row; the signature in base64, and so a token of RFC 3161, if there is one',
          }),
      }),
    )
    .meta({
      description: 'The entry, where the write has posted one, and the row of the audit log that tells of its outcome',
    }),
  missing: z.array(z.object({ log: z.enum(SEALED_LOGS), reason: z.enum(MISSING_REASONS) })).meta({
    description:
      'Rows without a proof. archived: its month of the audit log is in the archive. erased: it came back from there after a ' +
      'person was erased. not_permitted: you may not read entries. absent, altered: it is not what was sealed, and operators ' +
      'have been told.',
  }),
});
