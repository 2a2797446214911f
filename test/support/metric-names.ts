/** Words of PromQL that stand where a metric's name could. */
const KEYWORDS = new Set(['or', 'and', 'unless', 'by', 'without', 'on', 'ignoring', 'bool', 'offset']);

/** The metrics that an expression asks for; not its functions, labels and strings. */
export function metricsNamedIn(expr: string): string[] {
  const bare = expr
    .replace(/"[^"]*"/g, '')
    .replace(/\{[^}]*\}/g, ' ')
    .replace(/\[[^\]]*\]/g, ' ')
    .replace(/\b(by|without|on|ignoring)\s*\([^)]*\)/g, ' ');
  const words = [...bare.matchAll(/\b[A-Za-z_]\w*\b(?!\s*\()/g)].map(([word]) => word);
  return words.filter((word) => !KEYWORDS.has(word));
}
