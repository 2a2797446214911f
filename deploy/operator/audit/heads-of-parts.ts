import { readManifest } from '../../../activities/audit/archive-file.ts';
import type { ArchivedPart } from '../../../activities/audit/archive-seal.ts';
import { type OutsideHeads, type PublishedHead, placeOf } from '../../../activities/audit/archived-heads.ts';
import { outsideHeadsOf } from '../audit-export/verify.mjs';

/**
 * Of a file of heads that somebody has collected, those that a month's chains are compared with. Throws where there is none, or one
 * that cannot be read: nothing would be compared.
 */
export async function headsOfParts(path: string, folder: string, month: string): Promise<OutsideHeads> {
  const manifest = await readManifest(folder, month);
  const parts = new Map<string, ArchivedPart[]>();
  for (const part of manifest?.seal?.parts ?? []) {
    const ofCompany = parts.get(part.companyId);
    if (ofCompany === undefined) parts.set(part.companyId, [part]);
    else ofCompany.push(part);
  }
  const heads = new Map<string, PublishedHead[]>();
  for await (const { published, head } of outsideHeadsOf(path)) {
    const { companyId, log, number } = head;
    const isOfPart = parts.get(companyId)?.some(({ first, last }) => number >= first - 1 && number <= last);
    if (log !== 'audit' || isOfPart !== true) continue;
    const place = placeOf(companyId, number);
    const ofPlace = heads.get(place);
    if (ofPlace === undefined) heads.set(place, [published]);
    else ofPlace.push(published);
  }
  if (heads.size === 0) {
    throw new Error(`No head in ${path} is of the rows of ${month}: nothing was compared with it.`);
  }
  return heads;
}
