/**
 * What a process does about payloads that are not encrypted, in the order of the releases that introduce encryption:
 *
 * - `accept`: reads both forms and writes plain ones, for a release that runs beside one that cannot decrypt
 * - `encrypt`: reads both forms and writes encrypted ones
 * - `require`: refuses what is not encrypted
 */
export const PAYLOAD_ENCRYPTION = ['accept', 'encrypt', 'require'] as const;
export type PayloadEncryption = (typeof PAYLOAD_ENCRYPTION)[number];
