/**
 * The active currencies of ISO 4217 and their exponents, the number of decimal digits of the minor unit.
 * Only for display and validation; the books are kept per currency, without conversion.
 */
const TWO_DIGITS = `AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CNY COP
CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES
KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD
PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY
TTD TWD TZS UAH USD UYU UZS VED VES WST XCD XCG YER ZAR ZMW ZWG`;
const NO_DIGITS = 'BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF';
const THREE_DIGITS = 'BHD IQD JOD KWD LYD OMR TND';

const exponents: ReadonlyMap<string, number> = new Map([
  ...codes(TWO_DIGITS, 2),
  ...codes(NO_DIGITS, 0),
  ...codes(THREE_DIGITS, 3),
]);

/** 0 for a currency that is not known. */
export function exponentOf(currency: string): number {
  return exponents.get(currency) ?? 0;
}

export function isCurrency(code: string): boolean {
  return exponents.has(code);
}

/** `1234567` in USD is `12345.67 USD`; in JPY it is `1234567 JPY`. */
export function formatAmount(amountMinor: bigint | number, currency: string): string {
  const exponent = exponentOf(currency);
  const amount = BigInt(amountMinor);
  const digits = (amount < 0n ? -amount : amount).toString().padStart(exponent + 1, '0');
  const sign = amount < 0n ? '-' : '';
  const whole = digits.slice(0, digits.length - exponent);
  const fraction = exponent === 0 ? '' : `.${digits.slice(digits.length - exponent)}`;
  return `${sign}${whole}${fraction} ${currency}`;
}

function codes(list: string, exponent: number): [string, number][] {
  return list.split(/\s+/).map((code) => [code, exponent]);
}
