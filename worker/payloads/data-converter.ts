import { fileURLToPath } from 'node:url';
import type { DataConverter } from '@temporalio/common';
import type { Logger } from 'pino';
import type { PayloadConfig } from '../config.ts';
import { createPayloadCodec, type PayloadCodecOptions } from './codec.ts';

/** Also in the bundle of the workflows. */
export const FAILURE_CONVERTER = fileURLToPath(new URL('./failure-converter.cjs', import.meta.url));

/** What a process does with each payload that is refused. */
export type RefusalReport = {
  readonly logger: Logger;
  readonly metrics: { readonly temporalRefused: { inc(): void } };
};

/** Of every client and every worker of this system. Without keys, payloads are plain. */
export function dataConverterOf(
  config: Pick<PayloadConfig, 'PAYLOAD_KEYS' | 'PAYLOAD_ENCRYPTION'>,
  options: Pick<PayloadCodecOptions, 'unknownKeys'> & { readonly report?: RefusalReport | undefined },
): DataConverter {
  const { PAYLOAD_KEYS: keys, PAYLOAD_ENCRYPTION: encryption } = config;
  const { report, unknownKeys } = options;
  const onRefused: PayloadCodecOptions['onRefused'] = (reason, context) => {
    report?.metrics.temporalRefused.inc();
    report?.logger.error(
      { reason, workflowId: context?.workflowId },
      'A payload of Temporal is not ours and was refused',
    );
  };
  return {
    failureConverterPath: FAILURE_CONVERTER,
    ...(keys === undefined
      ? {}
      : {
          payloadCodecs: [
            createPayloadCodec({ keys, encryption, onRefused, ...(unknownKeys === undefined ? {} : { unknownKeys }) }),
          ],
        }),
  };
}
