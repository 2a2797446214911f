import { readFileSync } from 'node:fs';
import { InvalidArgumentError } from 'commander';
import { decodeJwt } from 'jose';

export type RemoteOptions = { readonly url?: string; readonly tokenFile?: string; readonly otherTokenFile?: string };

/** A remote system and the token to use there. */
export type Remote = {
  readonly url: string;
  readonly token: string;
  readonly companyId: string;
  /** A token of another company, to check that it sees nothing. */
  readonly otherToken: string | undefined;
};

/** Reads the options, else API_URL, API_TOKEN and OTHER_API_TOKEN; never falls back to the local system. */
export function findRemote(options: RemoteOptions): Remote {
  const url = options.url ?? process.env['API_URL'];
  if (!url) throw new Error('No API is named: set API_URL or give --url.');
  const token = tokenOf(options.tokenFile, process.env['API_TOKEN']);
  if (token === undefined) throw new Error('No token is given: set API_TOKEN or give --token-file.');
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
    throw new Error('The token is not a JWT.');
  }
  throw new Error('The token has no company_id claim.');
}
