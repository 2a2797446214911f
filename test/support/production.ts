/** What a process demands in production, with servers of this machine. Tokens for it need the same issuer and audience. */
export const ISSUER = 'https://id.test';
export const AUDIENCE = 'accubooks';
export const PRODUCTION = {
  NODE_ENV: 'production',
  PLAINTEXT_HOSTS: '127.0.0.1',
  JWT_ISSUER: ISSUER,
  JWT_AUDIENCE: AUDIENCE,
} as const;
