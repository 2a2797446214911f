import { createContext } from 'preact';
import { useContext } from 'preact/hooks';

/** The company that is signed in, and the zone in which its times are shown. */
export type Company = { readonly name: string; readonly timeZone: string; readonly roles: readonly string[] };

export const CompanyContext = createContext<Company>({ name: '', timeZone: 'UTC', roles: [] });

export function useCompany(): Company {
  return useContext(CompanyContext);
}
