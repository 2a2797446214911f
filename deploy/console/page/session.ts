/**
 * Who has signed in, for as long as this tab is open: a token is in no place that another tab reads. Tokens are read once, when the
 * page is loaded. Whoever signs in or out loads the page anew, so that no page acts with another token than the one that it was
 * shown for.
 */
export type Kind = 'member' | 'operator';

const PLACES: Readonly<Record<Kind, string>> = {
  member: 'accubooks-console-token',
  operator: 'accubooks-console-operator-token',
};
const KINDS: readonly Kind[] = ['member', 'operator'];
/** Why somebody has to sign in again, for the page that is loaded next. */
const NOTICE = 'accubooks-console-notice';

export type Session = { readonly token: string; readonly expiresAtMs: number };
export type Tokens = Readonly<Partial<Record<Kind, string>>>;

let held: Tokens = stored();

/** The member. Undefined where none has signed in. The claims of a token are only shown: the API alone verifies them. */
export function currentSession(): Session | undefined {
  return sessionOf(held.member);
}

/** The operator, likewise. */
export function operatorSession(): Session | undefined {
  return sessionOf(held.operator);
}

/** Whose token a request has to have: what operators see is asked for as an operator, everything else as a member. */
export function kindFor(path: string): Kind {
  return path.startsWith('/operator/') ? 'operator' : 'member';
}

/**
 * Ends with the first token that expires. A page that is left is emptied by `clear` and has no token any more: the browser may keep
 * it for its Back button, for whoever comes next. There it is loaded anew.
 */
export function watchSession(clear: () => void): void {
  leave = () => {
    held = {};
    clear();
  };
  addEventListener('pagehide', () => leave());
  addEventListener('pageshow', ({ persisted }) => persisted && location.reload());
  for (const kind of KINDS) {
    const expiresAtMs = sessionOf(held[kind])?.expiresAtMs ?? 0;
    // biome-ignore lint/plugin: a token names points in time.
    const leftMs = Math.max(0, expiresAtMs - Date.now());
    if (leftMs <= LONGEST_MS) setTimeout(() => endSession(kind, `Your sign-in as ${NAMES[kind]} has expired.`), leftMs);
  }
  // Where the console is open already, such a link changes only the end of its address.
  addEventListener('hashchange', () => linkedTokens() !== undefined && location.reload());
}

export const NAMES: Readonly<Record<Kind, string>> = { member: 'a member', operator: 'an operator' };

let leave = () => {
  held = {};
};

/** The longest that a timer can wait. */
const LONGEST_MS = 2 ** 31 - 1;

/** Signs in with these tokens, and out with those of `instead`, and loads the page anew. */
export function signIn(tokens: Tokens, { instead = false }: { readonly instead?: boolean } = {}): void {
  for (const kind of KINDS) {
    const token = tokens[kind];
    if (token !== undefined) sessionStorage.setItem(PLACES[kind], token);
    else if (instead) sessionStorage.removeItem(PLACES[kind]);
  }
  // Nobody comes back from a provider here.
  if (isBack()) history.replaceState(null, '', '/console/');
  location.reload();
}

export function signOut(): void {
  leave();
  for (const kind of KINDS) sessionStorage.removeItem(PLACES[kind]);
  location.replace('/console/');
}

/** The token is taken no more: whoever had it is asked to sign in again, on the page where they are. */
export function endSession(kind: Kind, why: string): void {
  // Another page of this tab may have signed in since.
  if (held[kind] === undefined || stored()[kind] !== held[kind]) return;
  sessionStorage.removeItem(PLACES[kind]);
  sessionStorage.setItem(NOTICE, why);
  location.reload();
}

/** Why somebody has to sign in again, once. */
export function takeNotice(): string | undefined {
  const notice = sessionStorage.getItem(NOTICE) ?? undefined;
  sessionStorage.removeItem(NOTICE);
  return notice;
}

/** The tokens of a link that signs in (`#token=…&operator=…`), by whose they are. Undefined where it is none. */
export function linkedTokens(link: string = location.hash): Tokens | undefined {
  const given = new URLSearchParams(link.slice(link.indexOf('#') + 1));
  const tokens = [given.get('token'), given.get('operator')].filter((token) => token !== null);
  return tokens.length === 0 ? undefined : byKind(tokens);
}

/** Only a member's token names a company. */
export function byKind(tokens: readonly string[]): Tokens {
  return Object.fromEntries(
    tokens.map((token) => [claimsOf(token)?.company_id === undefined ? 'operator' : 'member', token.trim()]),
  );
}

/** Whether somebody has signed in, with other tokens than these. What a token claims is not asked: anybody can write it. */
export function isSignedInOtherwise(tokens: Tokens): boolean {
  return KINDS.some((kind) => held[kind] !== undefined && held[kind] !== tokens[kind]);
}

type Claims = { readonly exp: number; readonly company_id?: string };

/** Undefined for what is no JWT. */
function claimsOf(token: string): Claims | undefined {
  try {
    const [, payload = ''] = token.split('.');
    const claims = JSON.parse(atob(payload.replaceAll('-', '+').replaceAll('_', '/')));
    return typeof claims.exp === 'number' ? claims : undefined;
  } catch {
    return undefined;
  }
}

/** What is wrong with a token, as far as can be told without the API. */
export function faultOf(token: string): string | undefined {
  const claims = claimsOf(token);
  if (claims === undefined) return 'This is no token. A token is a JWT: three parts with dots between them.';
  return hasExpired(claims) ? 'This token has expired. Get a new one.' : undefined;
}

function hasExpired({ exp }: { readonly exp: number }): boolean {
  // biome-ignore lint/plugin: a token names points in time.
  return exp * 1000 <= Date.now();
}

function stored(): Tokens {
  return Object.fromEntries(
    KINDS.flatMap((kind) => {
      const token = sessionStorage.getItem(PLACES[kind]);
      return token === null ? [] : [[kind, token]];
    }),
  );
}

function sessionOf(token: string | undefined): Session | undefined {
  const claims = token === undefined ? undefined : claimsOf(token);
  if (token === undefined || claims === undefined || hasExpired(claims)) return undefined;
  return { token, expiresAtMs: claims.exp * 1000 };
}

/** Whether the address is that to which an identity provider has sent somebody back. */
export function isBack(): boolean {
  return location.pathname === '/console/signed-in';
}
