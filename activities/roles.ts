/** The roles of a company's members. Each operation and read declares the roles that it allows. */
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
