import type { ArchiveManifest } from '../../../activities/audit/archive-file.ts';
import type { VerifiedSeal, VerifyOptions } from '../../../activities/audit/verify-seal.ts';
import { shown } from '../../cli/progress.ts';

/** What was compared with the seal of an archive, line by line. */
export function sealText(
  { seal }: ArchiveManifest,
  { sealed, unsealed, erased, withoutHead, agreed }: VerifiedSeal,
  { keys, outside }: Pick<VerifyOptions, 'keys' | 'outside'>,
): readonly string[] {
  if (seal === undefined) {
    return ['It has no part of the seal: no row was sealed, or an earlier release has archived the month.'];
  }
  const withHead = seal.parts.length - withoutHead.length;
  return [
    `${shown(sealed)} rows are what was sealed, and ${shown(withHead)} of ${shown(seal.parts.length)} parts of chains lead to a signed head.`,
    ...(unsealed === 0 ? [] : [`${shown(unsealed)} rows were never sealed.`]),
    ...(erased === 0 ? [] : [`Of ${shown(erased)} rows only the digest is known: their writes were erased.`]),
    ...(outside === undefined ? [] : [`${shown(agreed)} heads from outside are on the chains.`]),
    ...(keys === undefined ? ['The keys are those of the archive: give --keys with those that you have kept.'] : []),
  ];
}
