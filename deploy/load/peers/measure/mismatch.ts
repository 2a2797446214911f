import { labelOf } from '../../../client/src/answers.ts';
import type { Answer } from '../../../client/src/http.ts';
import type { Rig } from '../../benchmark/rig.ts';

/** Pays an invoice, then sends the same key for another invoice, and tells how that was answered. */
export async function sendMismatch(rig: Rig): Promise<string> {
  const [one, other] = [await rig.borrowInvoice(), await rig.borrowInvoice()];
  const key = rig.newKey();
  const first = await rig.pay(key, one.id);
  if (first?.status !== 201) throw new Error(`A payment was answered ${first?.status} ${first?.text}`);
  const second = await rig.pay(key, other.id);
  for (const invoice of [one, other]) invoice.giveBack();
  return describeMismatch(first, second);
}

export function describeMismatch(first: Answer, second: Answer | undefined): string {
  if (second === undefined) return 'no answer';
  if (second.status !== 200 && second.status !== 201) return labelOf(second);
  return second.text === first.text
    ? `${second.status}, the first request’s answer`
    : `${second.status}, a second payment`;
}
