import { createHash } from 'node:crypto';
import type { ErrorEntry, ErrorUse } from './error-catalog.ts';

/** `/docs/errors`: one section per code; every problem's `type` links to it. No scripts, and only its own style. */
export function errorPage(entries: readonly ErrorEntry[]): { readonly html: string; readonly csp: string } {
  const html = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Error codes · AccuBooks</title>
<style>${STYLE}</style>
</head>
<body>
<header>
<h1>Error codes</h1>
<p>Every error is <code>application/problem+json</code> (RFC 9457), and its <code>type</code> links to its section here.
Programs should switch on <code>code</code> and follow <code>retryable</code> and <code>nextAction</code>. It is always safe
to send a write again with its own key. <a href="/docs">All routes</a></p>
<nav aria-label="Codes">${entries.map(({ code }) => `<a href="#${escapeHtml(code)}">${escapeHtml(code)}</a>`).join(' ')}</nav>
</header>
<main>
${entries.map(section).join('\n')}
</main>
</body>
</html>
`;
  const style = createHash('sha256').update(STYLE).digest('base64');
  return {
    html,
    csp: `default-src 'none'; style-src 'sha256-${style}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`,
  };
}

function section({ code, meaning, next, uses }: ErrorEntry): string {
  return `<section id="${escapeHtml(code)}">
<h2><a href="#${escapeHtml(code)}">${escapeHtml(code)}</a></h2>
<p>${escapeHtml(meaning)}</p>
<p><strong>What to do:</strong> ${escapeHtml(next)}</p>
<div class="wide"><table>
<thead><tr><th>Status<th>Title<th>Returned by<th>Stored<th>Retryable<th>nextAction</tr></thead>
<tbody>${uses.map(tableRow).join('')}</tbody>
</table></div>
</section>`;
}

function tableRow({ status, title, where, stored, retryable, nextAction }: ErrorUse): string {
  const cells = [status, title, where, stored ? 'yes' : 'no', retryable ? 'yes' : 'no'];
  return `<tr>${cells.map((cell) => `<td>${escapeHtml(String(cell))}`).join('')}<td><code>${escapeHtml(nextAction)}</code></tr>`;
}

function escapeHtml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}

const STYLE = `
:root { color-scheme: light dark; --line: #8886; --soft: #8881; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 64rem; margin: 0 auto; padding: 1.5rem; }
h2 { font: 600 1.1rem/1.3 ui-monospace, monospace; margin: 0 0 .5rem; overflow-wrap: anywhere; }
h2 a { color: inherit; text-decoration: none; }
nav { display: flex; flex-wrap: wrap; gap: .25rem .75rem; font: .85rem/1.5 ui-monospace, monospace; margin: 1rem 0; }
section { border-top: 1px solid var(--line); padding: 1.25rem 0; scroll-margin-top: 1rem; }
section:target { background: var(--soft); box-shadow: -1rem 0 0 var(--soft), 1rem 0 0 var(--soft); }
p { margin: .25rem 0 .5rem; }
/* On a narrow screen the table scrolls, not the page. */
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9rem; table-layout: fixed; width: 100%; min-width: 46rem; }
th:nth-child(1), th:nth-child(4) { width: 9%; }
th:nth-child(5) { width: 11%; }
th:nth-child(3) { width: 28%; }
th:nth-child(6) { width: 16%; }
th, td { text-align: left; vertical-align: top; padding: .2rem .75rem .2rem 0; }
th { font-weight: 600; border-bottom: 1px solid var(--line); }
code { font-family: ui-monospace, monospace; }
`;
