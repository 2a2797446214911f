/** The roles of a company's members. What each may do stands with the operations and the reads. */
export const ROLES = [
  'owner',
  'admin',
  'manager',
  'accountant',
  'auditor',
  'inventory_manager',
  'employee',
  'customer',
  'user',
] as const;

export type Role = (typeof ROLES)[number];

export function holdsOneOf(held: readonly string[], allowed: readonly Role[]): boolean {
  return allowed.some((role) => held.includes(role));
}
