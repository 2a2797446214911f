import { randomUUID } from 'node:crypto';
import { SignJWT } from 'jose';

export const DEFAULT_TTL_SECONDS = 12 * 60 * 60;

export async function mintToken(claims: {
  secret: string;
  /** The user's ID, or the user's subject at an identity provider. */
  subject: string;
  /** Undefined for an operator, who is of none. */
  companyId?: string | undefined;
  ttlSeconds?: number;
  issuer?: string | undefined;
  audience?: string | undefined;
}): Promise<string> {
  const jwt = new SignJWT(claims.companyId === undefined ? {} : { company_id: claims.companyId })
    .setProtectedHeader({ alg: 'HS256', typ: 'JWT' })
    .setSubject(claims.subject)
    // By which it can be revoked.
    .setJti(randomUUID())
    .setIssuedAt()
    .setExpirationTime(`${claims.ttlSeconds ?? DEFAULT_TTL_SECONDS}s`);
  if (claims.issuer !== undefined) jwt.setIssuer(claims.issuer);
  if (claims.audience !== undefined) jwt.setAudience(claims.audience);
  return jwt.sign(new TextEncoder().encode(claims.secret));
}
