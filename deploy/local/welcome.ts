import { randomUUID } from 'node:crypto';
import { relative } from 'node:path';
import { createPayment } from '../../activities/operations/create-payment.ts';
import { dataFolder } from '../cli/local-config.ts';
import { type LocalSystem, localJsonFile } from '../cli/local-json.ts';

/** What someone who has just started the system needs to see. The command in it works as it is, once each key. */
export function welcome(local: LocalSystem, { seconds }: { seconds: number }): string {
  const payment = createPayment.examples[0];
  if (payment === undefined) throw new Error('Bug! createPayment has no example');
  return `
AccuBooks is ready (after ${seconds.toFixed(1)} s). Ctrl-C stops all of it.

  API            ${local.apiUrl}
  Documentation  ${local.apiUrl}/docs
  Temporal UI    ${local.temporalUiUrl ?? 'not known: set TEMPORAL_UI_URL'}
  Metrics        ${local.metricsUrls.api}
                 ${local.metricsUrls.worker}
  Logs           ${shown(dataFolder())}/logs
  For scripts    ${shown(localJsonFile())} (these URLs, the databases', and the token)

A token of owner@demo.test at Demo Ltd, for 12 hours:

${local.token}

A payment. Sent once more it is answered with the same bytes, marked "Idempotent-Replayed: true":

curl -i ${local.apiUrl}${createPayment.path} \\
  -H 'Authorization: Bearer ${local.token}' \\
  -H 'Content-Type: application/json' \\
  -H 'Idempotency-Key: try-${randomUUID().slice(0, 8)}' \\
  -d '${JSON.stringify(payment.body)}'
`;
}

/** Short where it lies below the folder that one stands in. */
function shown(path: string): string {
  const short = relative(process.cwd(), path);
  return short.startsWith('..') ? path : short;
}
