import { type Minor, moneyText } from '../money.ts';

/** A cell of a table with an amount; empty where there is none, or where it is zero and `blank` says so. */
export function MoneyCell({
  amount,
  currency,
  isBlankAtZero = false,
}: {
  readonly amount: Minor | undefined;
  readonly currency: string;
  readonly isBlankAtZero?: boolean;
}) {
  const isBlank = amount === undefined || (isBlankAtZero && (amount === 0 || amount === '0'));
  return <td class="money">{isBlank ? '' : moneyText(amount, currency)}</td>;
}
