/**
 * JSON of what was parsed from JSON, which parses to the same again. `JSON.stringify` makes `null` of a number that is too large,
 * such as `1e400`, and `0` of `-0`: a row would be another one than what was sent, and pass where the API refuses it.
 */
export function exactJson(value: unknown): string {
  return isExact(value) ? JSON.stringify(value) : write(value);
}

/** Whether `JSON.stringify` keeps each number. */
function isExact(value: unknown): boolean {
  if (typeof value === 'number') return Number.isFinite(value) && !Object.is(value, -0);
  return typeof value !== 'object' || value === null || Object.values(value).every(isExact);
}

function write(value: unknown): string {
  if (typeof value === 'number') return number(value);
  if (Array.isArray(value)) return `[${value.map((each) => write(each ?? null)).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const members = Object.entries(value).filter(([, member]) => member !== undefined);
  return `{${members.map(([name, member]) => `${JSON.stringify(name)}:${write(member)}`).join(',')}}`;
}

function number(value: number): string {
  if (Object.is(value, -0)) return '-0';
  if (Number.isFinite(value)) return JSON.stringify(value);
  return value > 0 ? '1e999' : '-1e999';
}
