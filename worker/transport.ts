/**
 * Whether nobody on the way can read or change what is sent to this PostgreSQL: its certificate is verified, the connection
 * is a Unix socket, or the operator answers for the host.
 *
 * Only `verify-full` counts. The driver treats `prefer`, `require` and `verify-ca` as `verify-full` today and has announced to
 * follow libpq, where none of them proves that the server is the one that was meant.
 */
export function isDatabaseProtected(url: string, plaintextHosts: ReadonlySet<string>): boolean {
  // The driver takes `user@/database` as a URL without a host, which URL does not.
  const text = URL.canParse(url) ? url : url.replace('@/', '@none/');
  if (!URL.canParse(text)) return false;
  const { searchParams, hostname } = new URL(text);
  // The driver prefers the parameter to the URL's own host.
  const host = decodeURIComponent(searchParams.getAll('host').at(-1) ?? hostname).replace(/^\[|\]$/g, '');
  if (host.startsWith('/')) return true;
  // The driver lets the last one win, and `ssl` overrule it.
  const isVerified = searchParams.getAll('sslmode').join() === 'verify-full' && !searchParams.has('ssl');
  return isVerified || plaintextHosts.has(host);
}

/** As `isDatabaseProtected`, for Temporal: with one of these settings the connection is TLS with a verified certificate. */
export function isTemporalProtected(
  config: Readonly<Partial<Record<TemporalSetting, string | undefined>>>,
  plaintextHosts: ReadonlySet<string>,
): boolean {
  const { TEMPORAL_API_KEY, TEMPORAL_TLS_CERT, TEMPORAL_TLS_SERVER_CA, TEMPORAL_TLS_SERVER_NAME } = config;
  const tls = [TEMPORAL_API_KEY, TEMPORAL_TLS_CERT, TEMPORAL_TLS_SERVER_CA, TEMPORAL_TLS_SERVER_NAME];
  if (tls.some((setting) => setting !== undefined)) return true;
  const host = config.TEMPORAL_ADDRESS?.replace(/:\d+$/, '').replace(/^\[|\]$/g, '');
  return host === undefined || plaintextHosts.has(host);
}

type TemporalSetting =
  | 'TEMPORAL_ADDRESS'
  | 'TEMPORAL_API_KEY'
  | 'TEMPORAL_TLS_CERT'
  | 'TEMPORAL_TLS_SERVER_CA'
  | 'TEMPORAL_TLS_SERVER_NAME';
