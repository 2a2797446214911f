import type { Client } from '@temporalio/client';
import type { Payload } from '@temporalio/common';

/**
 * The values of payloads that were read from a history, which the SDK does not decode. What is not ours is a `Refused`.
 * Throws where the form is unknown.
 */
export async function readPayloads(
  { options }: Pick<Client, 'options'>,
  workflowId: string,
  payloads: readonly Payload[] | null | undefined,
): Promise<readonly unknown[]> {
  const { payloadCodecs, payloadConverter } = options.loadedDataConverter;
  const context = { type: 'workflow', namespace: options.namespace, workflowId } as const;
  let decoded = [...(payloads ?? [])];
  for (const codec of payloadCodecs.toReversed()) decoded = await codec.decode(decoded, context);
  return decoded.map((payload) => payloadConverter.fromPayload(payload));
}
