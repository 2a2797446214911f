import { fileURLToPath } from 'node:url';
import type { DataConverter } from '@temporalio/common';
import type { PayloadConfig } from '../config.ts';
import { createPayloadCodec, type PayloadCodecOptions } from './codec.ts';

/** Also in the bundle of the workflows. */
export const FAILURE_CONVERTER = fileURLToPath(new URL('./failure-converter.cjs', import.meta.url));

/** Of every client and every worker of this system. Without keys, payloads are plain. */
export function dataConverterOf(
  config: Pick<PayloadConfig, 'PAYLOAD_KEYS' | 'PAYLOAD_ENCRYPTION'>,
  options: Pick<PayloadCodecOptions, 'unknownKeys' | 'onRefused'>,
): DataConverter {
  const { PAYLOAD_KEYS: keys, PAYLOAD_ENCRYPTION: encryption } = config;
  return {
    failureConverterPath: FAILURE_CONVERTER,
    ...(keys === undefined
      ? {}
      : {
          payloadCodecs: [createPayloadCodec({ keys, encryption, ...options })],
        }),
  };
}
