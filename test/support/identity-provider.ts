import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, get } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import Provider from 'oidc-provider';

/** Where browsers find it: they are told that this host is the server's port. */
export const ISSUER = 'https://id.test';

export type IdentityProvider = { readonly port: number; readonly jwks: () => Promise<unknown>; close(): Promise<void> };

/**
 * A certified OpenID provider (oidc-provider) on loopback, over TLS. Whoever signs in with an e-mail address gets an access token for
 * the audience that was asked for: a member's with their company, an operator's without one.
 */
export async function startIdentityProvider(options: {
  readonly folder: string;
  readonly clientId: string;
  readonly redirectUri: string;
  readonly companyId: string;
  /** The subject of each who signs in. */
  readonly subject: string;
  readonly memberAudience: string;
}): Promise<IdentityProvider> {
  const { clientId, redirectUri, companyId, subject, memberAudience } = options;
  const provider = new Provider(ISSUER, {
    clients: [
      {
        ...{ client_id: clientId, token_endpoint_auth_method: 'none', redirect_uris: [redirectUri] },
        ...{ grant_types: ['authorization_code'], response_types: ['code'] },
      },
    ],
    clientBasedCORS: () => true,
    cookies: { keys: ['a key of the tests'] },
    findAccount: async (_context, id) => ({ accountId: id, claims: async () => ({ sub: id }) }),
    features: {
      devInteractions: { enabled: true },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: async (_context, resource) => ({
          ...{ scope: 'openid', audience: resource, accessTokenFormat: 'jwt' as const, accessTokenTTL: 600 },
        }),
        useGrantedResource: async () => true,
      },
    },
    extraTokenClaims: async (_context, token) =>
      'aud' in token && token.aud === memberAudience ? { company_id: companyId } : {},
    formats: {
      customizers: {
        async jwt(_context, _token, { payload }) {
          payload['sub'] = subject;
        },
      },
    },
  });
  provider.proxy = true;
  const { key, cert } = certificate(options.folder);
  const server = createServer({ key, cert }, (request, response) => void provider.callback()(request, response));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    port,
    async jwks() {
      const request = get({
        host: '127.0.0.1',
        port,
        path: '/jwks',
        rejectUnauthorized: false,
        headers: { host: 'id.test' },
      });
      const [response] = await once(request, 'response');
      let text = '';
      for await (const part of response) text += part;
      return JSON.parse(text);
    },
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

function certificate(folder: string): { readonly key: string; readonly cert: string } {
  const [key, cert] = [join(folder, 'id.key'), join(folder, 'id.pem')];
  const subject = ['-subj', '/CN=id.test', '-addext', 'subjectAltName=DNS:id.test'];
  execFileSync(
    'openssl',
    ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-keyout', key, '-out', cert, ...subject],
    { stdio: 'ignore' },
  );
  return { key: readFileSync(key, 'utf8'), cert: readFileSync(cert, 'utf8') };
}
