import { readFileSync } from 'node:fs';
import { InvalidArgumentError } from 'commander';
import { decodeJwt } from 'jose';

export type RemoteOptions = { readonly url?: string; readonly tokenFile?: string; readonly otherTokenFile?: string };

/** A system somewhere else, and whom to act as there. */
export type Remote = {
  readonly url: string;
  readonly token: string;
  readonly companyId: string;
  /** Of a member of another company, to see that it sees nothing. */
  readonly otherToken: string | undefined;
};

/** From options, else from API_URL, API_TOKEN and OTHER_API_TOKEN. The local system is never meant. */
export function findRemote(options: RemoteOptions): Remote {
  const url = options.url ?? process.env['API_URL'];
  if (!url) throw new Error('Which API? Set API_URL, or give --url.');
  const token = tokenOf(options.tokenFile, process.env['API_TOKEN']);
  if (token === undefined) throw new Error('As whom? Set API_TOKEN, or give --token-file.');
  return {
    url: urlArgument(url),
    token,
    companyId: companyOf(token),
    otherToken: tokenOf(options.otherTokenFile, process.env['OTHER_API_TOKEN']),
  };
}

export function urlArgument(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url !== undefined && /^https?:$/.test(url.protocol)) return text.replace(/\/$/, '');
  throw new InvalidArgumentError('It must be an http or https URL.');
}

function tokenOf(file: string | undefined, given: string | undefined): string | undefined {
  return file === undefined ? given || undefined : readFileSync(file, 'utf8').trim();
}

function companyOf(token: string): string {
  try {
    const { company_id: companyId } = decodeJwt<{ company_id?: unknown }>(token);
    if (typeof companyId === 'string') return companyId;
  } catch {
    throw new Error('The token is no JWT.');
  }
  throw new Error('The token names no company (company_id).');
}
