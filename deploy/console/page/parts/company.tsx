import { createContext } from 'preact';
import { useContext } from 'preact/hooks';

/** The company that is signed in, and the zone in which its times are shown; who is signed in, and with which roles. */
export type Company = {
  readonly name: string;
  readonly timeZone: string;
  /** In which it keeps its books; undefined until it is known, and for operators. */
  readonly currency: string | undefined;
  /** False, too, for whoever cannot deliver an event again. */
  readonly hasWebhook: boolean;
  readonly roles: readonly string[];
  /** Empty until it is known. */
  readonly userId: string;
};

export const CompanyContext = createContext<Company>({
  name: '',
  timeZone: 'UTC',
  currency: undefined,
  hasWebhook: false,
  roles: [],
  userId: '',
});

export function useCompany(): Company {
  return useContext(CompanyContext);
}
