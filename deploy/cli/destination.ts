import { decodeJwt } from 'jose';
import { tokenFile as tokenFileOf } from '../client/src/node.ts';
import { type Token, type TokenSource, tokenOf } from '../client/src/token.ts';
import { readLocalJson } from './local-json.ts';

export type DestinationOptions = { readonly url?: string; readonly token?: string; readonly tokenFile?: string };

export type Destination = {
  readonly url: string;
  readonly token: Token;
  /** Where the token is from, for a client that keeps it itself. */
  readonly source: TokenSource;
  /** The URL of the API and the token's company. */
  readonly target: string;
};

/** By default the local system with the token of the demo company's owner. */
export async function findDestination(options: DestinationOptions): Promise<Destination> {
  const local = readLocalJson();
  const url = (options.url ?? local?.apiUrl)?.replace(/\/$/, '');
  if (url === undefined) {
    throw new Error(
      'No local system is running. Start one ("npm start", with the same DATA_DIR), or give --url and a token.',
    );
  }
  const source = givenToken(options) ?? localToken(url) ?? noToken(url);
  // It takes tokens of one company alone: a file does not go to two because somebody has put another token into its place.
  const token = tokenOf(source);
  return { url, token, source, target: `${url} ${companyOf(await token.get())}` };
}

function givenToken({ token, tokenFile }: DestinationOptions): TokenSource | undefined {
  if (tokenFile !== undefined) return tokenFileOf(tokenFile);
  return token === undefined ? undefined : () => token;
}

/** Read again when it has ended: each start of the local system makes a new one. */
function localToken(url: string): TokenSource | undefined {
  if (readLocalJson()?.apiUrl !== url) return undefined;
  return () => {
    const local = readLocalJson();
    if (local === undefined) throw new Error('The local system is not running.');
    return local.token;
  };
}

function noToken(url: string): never {
  throw new Error(`Give a token for ${url}: --token-file <file> or --token <jwt>.`);
}

function companyOf(token: string): string {
  let companyId: unknown;
  try {
    companyId = decodeJwt(token)['company_id'];
  } catch {
    throw new Error('The token is not a JWT.');
  }
  if (typeof companyId !== 'string') throw new Error('The token has no company_id claim.');
  return companyId;
}
