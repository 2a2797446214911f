import { SignJWT } from 'jose';

/** Only tests know it, and only their servers take it. */
export const JWT_SECRET = 'the-secret-of-the-tests-and-of-nothing-else';

export type TokenClaims = { readonly userId: string; readonly companyId: string };

/** A valid token; `change` makes it another one. */
export function signToken(
  { userId, companyId }: TokenClaims,
  change: { ttlSeconds?: number; secret?: string; claims?: Record<string, unknown> } = {},
): Promise<string> {
  const now = Math.floor(Date.now() / 1000);
  return new SignJWT({ company_id: companyId, ...change.claims })
    .setProtectedHeader({ alg: 'HS256' })
    .setSubject(userId)
    .setIssuedAt(now - 1)
    .setExpirationTime(now + (change.ttlSeconds ?? 3600))
    .sign(new TextEncoder().encode(change.secret ?? JWT_SECRET));
}
