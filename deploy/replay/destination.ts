import { readFileSync } from 'node:fs';
import { decodeJwt } from 'jose';
import { readLocalJson } from '../cli/local-json.ts';

export type DestinationOptions = { readonly url?: string; readonly token?: string; readonly tokenFile?: string };

export type Destination = {
  readonly url: string;
  readonly token: string;
  /** The URL of the API and the token's company. */
  readonly target: string;
};

/** By default the local system with the token of the demo company's owner. */
export function findDestination(options: DestinationOptions): Destination {
  const local = readLocalJson();
  const url = (options.url ?? local?.apiUrl)?.replace(/\/$/, '');
  if (url === undefined) {
    throw new Error(
      'No local system is running. Start one ("npm start", with the same DATA_DIR), or give --url and a token.',
    );
  }
  const token = givenToken(options) ?? (url === local?.apiUrl ? local.token : undefined);
  if (token === undefined) throw new Error(`Give a token for ${url}: --token-file <file> or --token <jwt>.`);
  return { url, token, target: `${url} ${companyOf(token)}` };
}

function givenToken({ token, tokenFile }: DestinationOptions): string | undefined {
  return tokenFile === undefined ? token : readFileSync(tokenFile, 'utf8').trim();
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
