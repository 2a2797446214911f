import { createContext } from 'preact';
import { useContext } from 'preact/hooks';

/** The company that is signed in, and the zone in which its times are shown. */
export type Company = {
  readonly name: string;
  readonly timeZone: string;
  /** In which it keeps its books; undefined for who may not read the settings. */
  readonly currency: string | undefined;
  readonly roles: readonly string[];
};

export const CompanyContext = createContext<Company>({ name: '', timeZone: 'UTC', currency: undefined, roles: [] });

export function useCompany(): Company {
  return useContext(CompanyContext);
}
