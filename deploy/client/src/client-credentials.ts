import { objectIn } from './answers.ts';
import type { Fetch, FetchAnswer } from './http.ts';

export type ClientCredentials = {
  /** The token endpoint of the identity provider: https, or http on this machine. */
  readonly tokenUrl: string;
  readonly clientId: string;
  readonly clientSecret: string;
  /** Scopes, with spaces between them. */
  readonly scope?: string;
  /** Whom the token is for, where the provider asks for it: the service's `JWT_AUDIENCE`. */
  readonly audience?: string;
  /** Where the provider wants ID and secret: in `Authorization` (HTTP Basic; if omitted), or as members of the form. */
  readonly authentication?: 'basic' | 'form';
  readonly fetch?: Fetch;
};

/** For one answer. The client asks again while the deadline of its call allows. */
const ANSWER_TIMEOUT_MS = 10_000;

/**
 * A token source for a program that has an identity of its own: OAuth 2.0 client credentials (RFC 6749, section 4.4). The source fails, with an error
 * that says what the provider has answered, if that is not a bearer token; no error contains the secret or a token.
 *
 * @example
 * const token = clientCredentials({ tokenUrl: 'https://login.example.com/oauth2/token', clientId, clientSecret });
 * const books = createClient({ baseUrl: 'https://books.example.com', token });
 */
export function clientCredentials(options: ClientCredentials): () => Promise<string> {
  const { tokenUrl, clientId, clientSecret, scope, audience, authentication = 'basic' } = options;
  const fetchOf = options.fetch ?? globalThis.fetch;
  const { href, host } = endpoint(tokenUrl);
  if (clientId === '' || clientSecret === '') throw new TypeError('clientId and clientSecret must not be empty.');
  const form = formOf({
    ...{ grant_type: 'client_credentials', scope, audience },
    ...(authentication === 'form' ? { client_id: clientId, client_secret: clientSecret } : {}),
  });
  const headers = {
    accept: 'application/json',
    'content-type': 'application/x-www-form-urlencoded',
    ...(authentication === 'basic' ? { authorization: basic(clientId, clientSecret) } : {}),
  };
  return async () => {
    const { answer, text } = await send();
    const body = objectIn(text) as TokenAnswer | undefined;
    if (answer.status !== 200) throw new Error(`${host} gives no token: ${refusalOf(answer.status, body)}.`);
    const { access_token: token, token_type: type } = body ?? {};
    if (typeof token !== 'string' || token === '')
      throw new Error(`${host} gives no token: the answer has no access_token.`);
    if (typeof type === 'string' && type.toLowerCase() !== 'bearer') {
      throw new Error(`${host} gives a token of the type ${type}; only bearer tokens can be used.`);
    }
    return token;
  };

  async function send(): Promise<{ readonly answer: FetchAnswer; readonly text: string }> {
    try {
      const answer = await fetchOf(href, {
        ...{ method: 'POST', headers, body: form },
        signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS),
        // The secret goes nowhere else.
        redirect: 'manual',
      });
      return { answer, text: await answer.text() };
    } catch (error) {
      throw new Error(`${host} gives no token: it does not answer.`, { cause: error });
    }
  }
}

type TokenAnswer = {
  readonly access_token?: unknown;
  readonly token_type?: unknown;
  readonly error?: unknown;
  readonly error_description?: unknown;
};

/** RFC 6749 demands TLS: the request carries the secret. */
function endpoint(tokenUrl: string): URL {
  const url = new URL(tokenUrl);
  const isOfThisMachine = ['localhost', '127.0.0.1', '[::1]'].includes(url.hostname);
  if ((url.protocol !== 'https:' && !(url.protocol === 'http:' && isOfThisMachine)) || url.username !== '') {
    throw new TypeError(
      'tokenUrl must be an https URL without credentials, such as https://login.example.com/oauth2/token',
    );
  }
  return url;
}

function formOf(members: Readonly<Record<string, string | undefined>>): string {
  const given = Object.entries(members).filter((member): member is [string, string] => member[1] !== undefined);
  return new URLSearchParams(given).toString();
}

/** RFC 6749, section 2.3.1: ID and secret are encoded as in a form before they are joined. */
function basic(clientId: string, clientSecret: string): string {
  return `Basic ${btoa(`${formEncoded(clientId)}:${formEncoded(clientSecret)}`)}`;
}

function formEncoded(text: string): string {
  return new URLSearchParams({ '': text }).toString().slice('='.length);
}

/** `401 invalid_client (Unknown client)`, as section 5.2 has it. */
function refusalOf(status: number, body: TokenAnswer | undefined): string {
  const { error, error_description: description } = body ?? {};
  if (typeof error !== 'string') return `it answers ${status}`;
  return `it answers ${status} ${error}${typeof description === 'string' ? ` (${description.slice(0, 200)})` : ''}`;
}
