/** Who has signed in, for as long as this tab is open: a token is in no place that another tab or a later visit reads. */
const KEY = 'accubooks-console-token';

export type Session = { readonly token: string; readonly companyId: string | undefined; readonly expiresAtMs: number };

/** Takes the token of a link that signs in (`#token=…`), and removes it from the address. False where there is none. */
export function signInByLink(): boolean {
  const token = new URLSearchParams(location.hash.slice(1)).get('token');
  if (token === null) return false;
  history.replaceState(null, '', location.pathname + location.search);
  signIn(token);
  return true;
}

export function signIn(token: string): void {
  sessionStorage.setItem(KEY, token.trim());
}

export function signOut(): void {
  sessionStorage.removeItem(KEY);
}

/** Undefined where nobody has signed in, or the token has expired. Its claims are only shown: the API alone verifies them. */
export function currentSession(): Session | undefined {
  const token = sessionStorage.getItem(KEY);
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
