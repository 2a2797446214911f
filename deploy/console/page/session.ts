/** Who has signed in, for as long as this tab is open: a token is in no place that another tab or a later visit reads. */
const MEMBER = 'accubooks-console-token';
const OPERATOR = 'accubooks-console-operator-token';

export type Session = {
  readonly token: string;
  /** Undefined for an operator. */
  readonly companyId: string | undefined;
  readonly expiresAtMs: number;
};

/** Takes the tokens of a link that signs in (`#token=…&operator=…`), and removes them from the address. False where there is none. */
export function signInByLink(): boolean {
  const given = new URLSearchParams(location.hash.slice(1));
  const tokens = [given.get('token'), given.get('operator')].filter((token) => token !== null);
  if (tokens.length === 0) return false;
  history.replaceState(null, '', location.pathname + location.search);
  for (const token of tokens) signIn(token);
  return true;
}

/** As a member or as an operator, whichever the token is of: only a member's names a company. */
export function signIn(token: string): void {
  const isMembers = claimsOf(token)?.company_id !== undefined;
  sessionStorage.setItem(isMembers ? MEMBER : OPERATOR, token.trim());
}

export function signOut(): void {
  sessionStorage.removeItem(MEMBER);
  sessionStorage.removeItem(OPERATOR);
}

/** The member. Undefined where none has signed in, or the token has expired. Its claims are only shown: the API alone verifies them. */
export function currentSession(): Session | undefined {
  return sessionAt(MEMBER);
}

/** The operator, likewise. */
export function operatorSession(): Session | undefined {
  return sessionAt(OPERATOR);
}

function sessionAt(place: string): Session | undefined {
  const token = sessionStorage.getItem(place);
  const claims = token === null ? undefined : claimsOf(token);
  if (token === null || claims === undefined || hasExpired(claims)) return undefined;
  return { token, companyId: claims.company_id, expiresAtMs: claims.exp * 1000 };
}

/** Undefined for what is no JWT. */
export function claimsOf(token: string): { readonly exp: number; readonly company_id?: string } | undefined {
  try {
    const [, payload = ''] = token.split('.');
    const claims = JSON.parse(atob(payload.replaceAll('-', '+').replaceAll('_', '/')));
    return typeof claims.exp === 'number' ? claims : undefined;
  } catch {
    return undefined;
  }
}

export function hasExpired({ exp }: { readonly exp: number }): boolean {
  // biome-ignore lint/plugin: a token names points in time.
  return exp * 1000 <= Date.now();
}

/** Whether the address is that to which an identity provider has sent somebody back. */
export function isBack(): boolean {
  return location.pathname === '/console/signed-in';
}
