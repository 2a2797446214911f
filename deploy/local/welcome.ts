import { randomUUID } from 'node:crypto';
import { relative } from 'node:path';
import { createPayment } from '../../activities/operations/create-payment.ts';
import { dataFolder } from '../cli/local-config.ts';
import { type LocalSystem, localJsonFile } from '../cli/local-json.ts';

/** The text shown after the start. The curl command in it works unchanged. */
export function welcome(local: LocalSystem, { seconds }: { seconds: number }): string {
  const payment = createPayment.examples[0];
  if (payment === undefined) throw new Error('Bug! createPayment has no example');
  return `
AccuBooks is ready (after ${seconds.toFixed(1)} s). Ctrl-C stops all of it.

  Console        ${local.apiUrl}/console/#token=${local.token}&operator=${local.operatorToken}
  API            ${local.apiUrl}
  Documentation  ${local.apiUrl}/docs
  Temporal UI    ${local.temporalUiUrl ?? 'unknown: set TEMPORAL_UI_URL'}
  Metrics        ${local.metricsUrls.api}
                 ${local.metricsUrls.worker}
  Logs           ${shown(dataFolder())}/logs
  For scripts    ${shown(localJsonFile())} (these URLs, the databases', and the token)

A token for owner@demo.test of Demo Ltd, valid for 12 hours:

${local.token}

A payment. Sent again, it is answered with the same bytes and the header "Idempotent-Replayed: true":

curl -i ${local.apiUrl}${createPayment.path} \\
  -H 'Authorization: Bearer ${local.token}' \\
  -H 'Content-Type: application/json' \\
  -H 'Idempotency-Key: try-${randomUUID().slice(0, 8)}' \\
  -d '${JSON.stringify(payment.body)}'
`;
}

/** The relative path if it is below the current directory. */
function shown(path: string): string {
  const short = relative(process.cwd(), path);
  return short.startsWith('..') ? path : short;
}
