import { join } from 'node:path';
import { z } from 'zod';
import {
  port,
  positiveInteger,
  processConfig,
  readConfig,
  refuseLocalSettings,
  requireOtherSecondary,
  requireWholeVersion,
} from '../worker/config.ts';

/** How long the API may drain: longer than a request may wait plus a transaction may take. */
export const API_DRAIN_LIMIT_MS = 70_000;

/** How a browser on this machine names it. */
export const THIS_MACHINE: readonly string[] = ['127.0.0.1', 'localhost', '[::1]'];

/** Secrets that our documentation shows as an example: whoever copies one has a key that everyone knows. */
const DOCUMENTED_SECRETS: readonly string[] = ['replace-this-with-32-random-bytes-of-your-own'];

const apiConfig = z
  .object({
    ...processConfig,
    PORT: port(3000),
    JWT_SECRET: tokenSecret().optional(),
    /** Tokens that are signed with it are accepted, too: for replacing JWT_SECRET. */
    JWT_SECRET_SECONDARY: tokenSecret().optional(),
    JWT_JWKS_URL: z.url({ protocol: /^https$/, error: 'must be an https URL' }).optional(),
    JWT_ISSUER: z.string().min(1).optional(),
    JWT_AUDIENCE: z.string().min(1).optional(),
    /** The `typ` that each token must have in its header, such as `at+jwt` (RFC 9068). */
    JWT_TYP: z.string().min(1).optional(),
    /** Of the tokens with which operators have payloads of Temporal decrypted. */
    OPERATOR_AUDIENCE: z.string().min(1).optional(),
    /** `1`: the Temporal UI of this machine may have payloads decrypted without a token; for local use only. */
    CODEC_WITHOUT_TOKEN: z.enum(['0', '1']).default('0'),
    /** Where the built console is (`npm run build`). */
    CONSOLE_FOLDER: z
      .string()
      .min(1)
      .default(join(import.meta.dirname, '../dist/console')),
    /** Whom the console asks how the system is; without it, the API samples the processes. */
    PROMETHEUS_URL: z.url({ protocol: /^https?$/, error: 'must be an http or https URL' }).optional(),
    /** Of the other processes, without Prometheus. */
    CONSOLE_METRICS_URLS: metricsUrls(),
    /** At the identity provider (JWT_ISSUER), as a client without a secret: with it, the console signs in there. */
    CONSOLE_OIDC_CLIENT_ID: z.string().min(1).optional(),
    CONSOLE_OIDC_SCOPE: z.string().min(1).default('openid'),
    TEMPORAL_UI_URL: z.url({ protocol: /^https?$/ }).optional(),
    RATE_LIMIT_PER_SECOND: positiveInteger(500),
    RATE_LIMIT_BURST: positiveInteger(2000),
    REPLAY_RATE_LIMIT_PER_SECOND: positiveInteger(10_000),
    FAILED_SIGN_INS_PER_MINUTE: positiveInteger(300),
    TRUSTED_PROXY_HOPS: z.string().regex(/^\d$/, 'must be a number from 0 to 9').transform(Number).default(0),
    MAX_IN_FLIGHT_WRITES: positiveInteger(2000),
    MAX_CONNECTIONS_PER_ADDRESS: positiveInteger(2000),
    MAX_STATUS_WAITS_PER_COMPANY: positiveInteger(200),
    WRITE_GROUPING: z.enum(['on', 'off']).default('on'),
  })
  .superRefine(
    (value, context) => {
      refuseLocalSettings(value, context);
      requireOtherSecondary(value, 'WEBHOOK_MASTER_KEY', context);
      requireWholeVersion(value, context);
      const fault = (path: string, message: string) => context.addIssue({ code: 'custom', path: [path], message });
      if ((value.JWT_SECRET === undefined) === (value.JWT_JWKS_URL === undefined)) {
        fault('JWT_SECRET', 'set exactly one of JWT_SECRET and JWT_JWKS_URL');
      }
      requireOtherSecondary(value, 'JWT_SECRET', context);
      if (value.OPERATOR_AUDIENCE !== undefined && value.OPERATOR_AUDIENCE === value.JWT_AUDIENCE) {
        fault(
          'OPERATOR_AUDIENCE',
          'must differ from JWT_AUDIENCE: a token of a company must not open what operators see',
        );
      }
      if (value.CONSOLE_OIDC_CLIENT_ID !== undefined) {
        const provider = z.url({ protocol: /^https$/ }).safeParse(value.JWT_ISSUER);
        if (value.JWT_JWKS_URL === undefined || !provider.success)
          fault(
            'CONSOLE_OIDC_CLIENT_ID',
            'needs JWT_JWKS_URL, and a JWT_ISSUER that is an https URL: there the console signs in',
          );
      }
      if (value.CODEC_WITHOUT_TOKEN === '1') {
        if (value.NODE_ENV === 'production') fault('CODEC_WITHOUT_TOKEN', 'is for local use only');
        else if (!THIS_MACHINE.includes(value.HOST))
          fault('CODEC_WITHOUT_TOKEN', 'requires a HOST that only this machine reaches');
      }
      // Without them, a token that the provider has issued for another of its applications would be taken here.
      const because = value.JWT_JWKS_URL !== undefined ? 'with JWT_JWKS_URL' : 'in production';
      if (value.JWT_JWKS_URL !== undefined || value.NODE_ENV === 'production') {
        if (value.JWT_ISSUER === undefined) fault('JWT_ISSUER', `must be set ${because}`);
        if (value.JWT_AUDIENCE === undefined) fault('JWT_AUDIENCE', `must be set ${because}`);
      }
    },
    // Also when another variable is bad already: all problems are reported at once.
    { when: () => true },
  );

function metricsUrls() {
  const message = 'must be at most 20 http or https URLs with commas between them';
  const one = z.url({ protocol: /^https?$/ });
  return z
    .string()
    .default('')
    .transform((text) =>
      text
        .split(',')
        .filter((url) => url.trim() !== '')
        .map((url) => url.trim()),
    )
    .refine((urls) => urls.length <= 20 && urls.every((url) => one.safeParse(url).success), message);
}

function tokenSecret() {
  return z
    .string()
    .refine((secret) => Buffer.byteLength(secret) >= 32, 'must have at least 32 bytes')
    .refine((secret) => !DOCUMENTED_SECRETS.includes(secret), 'is the example of the documentation: generate your own');
}

/** The names of the environment variables that the API reads. */
export const API_SETTINGS: readonly string[] = Object.keys(apiConfig.shape);

export type ApiConfig = z.output<typeof apiConfig>;

export function readApiConfig(environment: NodeJS.ProcessEnv = process.env): ApiConfig {
  return readConfig(apiConfig, environment);
}
