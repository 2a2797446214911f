import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { AxeResults } from 'axe-core';
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core';

/** Debian's Chromium, headless. */
export function launchBrowser(args: readonly string[] = []): Promise<Browser> {
  // As root, Chromium does not start in its sandbox.
  return chromium.launch({ executablePath: chromiumPath(), args: ['--no-sandbox', '--disable-gpu', ...args] });
}

/** The looks in which each page is checked. */
export const LOOKS = {
  light: { viewport: { width: 1280, height: 900 }, colorScheme: 'light' },
  dark: { viewport: { width: 1280, height: 900 }, colorScheme: 'dark' },
  phone: { viewport: { width: 390, height: 844 }, colorScheme: 'light', hasTouch: true, isMobile: true },
} as const satisfies Record<string, BrowserContextOptions>;

export type Look = keyof typeof LOOKS;

/** A page in a context of its own, with what went wrong in it: errors, what its policy refused, requests to other hosts. */
export type WatchedPage = { readonly page: Page; readonly faults: readonly string[]; close(): Promise<void> };

export async function openPage(
  browser: Browser | undefined,
  origin: string,
  look: Look = 'light',
): Promise<WatchedPage> {
  if (browser === undefined) throw new Error('Bug! There is no browser');
  const context = await browser.newContext({ ...LOOKS[look], reducedMotion: 'reduce' });
  const page = await context.newPage();
  const faults: string[] = [];
  page.on('pageerror', ({ message }) => faults.push(`error: ${message}`));
  page.on('dialog', (dialog) => {
    faults.push(`dialog: ${dialog.message()}`);
    void dialog.dismiss();
  });
  page.on('console', (message) => {
    // The browser logs each answer of the API that is an error: what the page makes of it is what is tested.
    const isAnswer = message.text().startsWith('Failed to load resource: the server responded');
    if (['error', 'warning'].includes(message.type()) && !isAnswer) faults.push(`console: ${message.text()}`);
  });
  page.on('request', (request) => {
    const url = new URL(request.url());
    if (url.origin !== origin && url.protocol !== 'data:') faults.push(`request: ${request.url()}`);
  });
  return { page, faults, close: () => context.close() };
}

const RULES = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];
const require = createRequire(import.meta.url);

/** What is wrong with how the page looks now, and with how it came to: each as a sentence. */
export async function flawsOf(page: Page): Promise<readonly string[]> {
  const flaws = [...(await violationsOf(page))];
  // On a phone, innerWidth grows with the page.
  const needed = await page.evaluate<number>('document.documentElement.scrollWidth');
  const overflow = needed - (page.viewportSize()?.width ?? 0);
  if (overflow > 0) flaws.push(`it is ${overflow} px wider than the window`);
  const shift = await page.evaluate<number>(LAYOUT_SHIFT);
  if (shift > MAX_LAYOUT_SHIFT) flaws.push(`it has jumped: its layout shift is ${shift.toFixed(3)}`);
  return flaws;
}

/** What web.dev calls poor. On a busy machine, answers come later and further apart than people see them. */
const MAX_LAYOUT_SHIFT = 0.25;

/** The cumulative layout shift since the page was opened, without what follows a click or a key at once. There is no entry, and so no call, where nothing has moved. */
const LAYOUT_SHIFT = `new Promise((resolve) => {
  let total = 0;
  new PerformanceObserver((list) => list.getEntries().forEach((shift) => (total += shift.hadRecentInput ? 0 : shift.value)))
    .observe({ type: 'layout-shift', buffered: true });
  setTimeout(() => resolve(total), 100);
})`;

/** What axe finds on the page as it is: WCAG 2.2 A and AA, and its best practices; each as its rule and where. */
async function violationsOf(page: Page): Promise<readonly string[]> {
  // By the protocol and not as a script of the page, which its policy would refuse.
  await page.evaluate(readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8'));
  const { violations } = await page.evaluate<AxeResults>(`axe.run(document, { runOnly: ${JSON.stringify(RULES)} })`);
  return violations.flatMap(({ id, nodes }) => nodes.map(({ target }) => `${id}: ${target.join(' ')}`));
}

function chromiumPath(): string {
  return '/usr/bin/chromium';
}
