import * as oauth from 'oauth4webapi';
import type { ConsoleConfig } from '../../../api/console/routes.ts';
import { faultOf, type Kind, signIn } from './session.ts';

export type Provider = NonNullable<ConsoleConfig['signIn']>;

const STARTED = 'accubooks-console-sign-in';

/** What is kept in this tab while somebody is at the provider. */
type Started = { readonly as: Kind; readonly verifier: string; readonly state: string; readonly returnTo: string };

const redirectUri = () => `${location.origin}/console/signed-in`;

/**
 * Leaves for the identity provider: the code flow of a client without a secret, with PKCE (RFC 7636, RFC 9700). The audience is asked
 * for in both ways that providers know: as a resource, where it is a URI (RFC 8707), and as `audience`.
 */
export async function leaveForProvider(provider: Provider, as: Kind): Promise<void> {
  const server = await discover(provider);
  const { audience, operatorAudience } = provider;
  const asked = as === 'member' ? audience : (operatorAudience ?? audience);
  const started: Started = {
    as,
    ...{ verifier: oauth.generateRandomCodeVerifier(), state: oauth.generateRandomState() },
    returnTo: location.pathname + location.search,
  };
  sessionStorage.setItem(STARTED, JSON.stringify(started));
  const address = new URL(server.authorization_endpoint ?? '');
  const parameters = {
    ...{ client_id: provider.clientId, redirect_uri: redirectUri(), response_type: 'code', scope: provider.scope },
    ...{ code_challenge: await oauth.calculatePKCECodeChallenge(started.verifier), code_challenge_method: 'S256' },
    ...{ state: started.state, audience: asked, ...(URL.canParse(asked) ? { resource: asked } : {}) },
  };
  for (const [name, value] of Object.entries(parameters)) address.searchParams.set(name, value);
  location.assign(address);
}

/** Takes the token that the provider gives for its code, and goes on where somebody had left. Throws what the provider has refused. */
export async function comeBack(provider: Provider): Promise<void> {
  const kept = sessionStorage.getItem(STARTED);
  const address = new URL(location.href);
  sessionStorage.removeItem(STARTED);
  history.replaceState(null, '', '/console/');
  if (kept === null) throw new Error('This tab has not begun to sign in. Sign in again.');
  const { as, verifier, state, returnTo } = JSON.parse(kept) as Started;
  const server = await discover(provider);
  const client = { client_id: provider.clientId };
  const parameters = oauth.validateAuthResponse(server, client, address, state);
  const response = await oauth.authorizationCodeGrantRequest(
    ...([server, client, oauth.None(), parameters, redirectUri(), verifier] as const),
  );
  const { access_token: token } = await oauth.processAuthorizationCodeResponse(server, client, response);
  const fault = faultOf(token);
  if (fault !== undefined) throw new Error(`The provider has given a token of no use here. ${fault}`);
  history.replaceState(null, '', returnTo);
  signIn({ [as]: token });
}

async function discover({ issuer }: Provider): Promise<oauth.AuthorizationServer> {
  const url = new URL(issuer);
  return oauth.processDiscoveryResponse(url, await oauth.discoveryRequest(url));
}
