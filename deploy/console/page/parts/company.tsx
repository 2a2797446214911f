import { createContext } from 'preact';
import { useContext } from 'preact/hooks';

/** The company that is signed in, and the zone in which its times are shown; who is signed in, and with which roles. */
export type Company = {
  readonly name: string;
  readonly timeZone: string;
  readonly roles: readonly string[];
  /** Empty until it is known. */
  readonly userId: string;
};

export const CompanyContext = createContext<Company>({ name: '', timeZone: 'UTC', roles: [], userId: '' });

export function useCompany(): Company {
  return useContext(CompanyContext);
}
