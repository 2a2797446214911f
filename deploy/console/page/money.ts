/** The digits behind the point of a currency (ISO 4217), as the browser knows them. */
export function exponentOf(currency: string): number {
  return new Intl.NumberFormat('en', { style: 'currency', currency }).resolvedOptions().maximumFractionDigits ?? 2;
}

/** What somebody has typed, such as `25.00`, in minor units. Undefined for what is no amount, or finer than the currency has it. */
export function minorUnits(text: string, currency: string | undefined): string | undefined {
  const [, whole, fraction = ''] = /^(\d{1,15})(?:\.(\d*))?$/.exec(text) ?? [];
  const exponent = currency === undefined ? 2 : exponentOf(currency);
  if (whole === undefined || fraction.length > exponent) return undefined;
  return String(BigInt(whole + fraction.padEnd(exponent, '0')));
}
