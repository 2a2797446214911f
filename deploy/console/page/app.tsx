import { useEffect, useState } from 'preact/hooks';
import lazy, { ErrorBoundary } from 'preact-iso/lazy';
import { LocationProvider, Route, Router, useLocation } from 'preact-iso/router';
import { FindPage } from './pages/find.tsx';
import { OperatorCompaniesPage } from './pages/operator-companies.tsx';
import { OperatorWritePage } from './pages/operator-write.tsx';
import { OperatorWritesPage } from './pages/operator-writes.tsx';
import { SignInPage } from './pages/sign-in.tsx';
import { WritePage } from './pages/write.tsx';
import { type Company, CompanyContext } from './parts/company.tsx';
import { useAnswer } from './parts/use-answer.ts';
import { useDocumentTitle } from './parts/use-document-title.ts';
import { currentSession, operatorSession, signInByLink, signOut } from './session.ts';

/** With the charts, which no other page needs. */
const NowPage = lazy(() => import('./pages/now.tsx').then((page) => page.NowPage));

/** The frame of every page: who is signed in, where one may go, and the page itself. */
export function App() {
  const [isSignedIn, setSignedIn] = useState((currentSession() ?? operatorSession()) !== undefined);
  useEffect(() => {
    // Such a link may be opened where the console is open already: then only the end of its address changes.
    const byLink = () => signInByLink() && setSignedIn(true);
    addEventListener('hashchange', byLink);
    return () => removeEventListener('hashchange', byLink);
  }, []);
  if (!isSignedIn) return <SignInPage onSignedIn={() => setSignedIn(true)} />;
  const leave = () => {
    signOut();
    setSignedIn(false);
  };
  return (
    <LocationProvider scope="/console">
      <SignedIn onSignOut={leave} />
    </LocationProvider>
  );
}

type Me = { readonly email: string; readonly roles: readonly string[] };
type Settings = { readonly name: string; readonly timeZone: string; readonly baseCurrency: string };

function SignedIn({ onSignOut }: { readonly onSignOut: () => void }) {
  const isMember = currentSession() !== undefined;
  const me = useAnswer<Me>(isMember ? '/api/me' : undefined);
  const settings = useAnswer<Settings>(isMember ? '/api/company/settings' : undefined);
  const company: Company = {
    name: settings.data?.name ?? '',
    // Who may not read the settings sees UTC.
    timeZone: settings.data?.timeZone ?? 'UTC',
    currency: settings.data?.baseCurrency,
    roles: me.data?.roles ?? [],
  };
  const isRefused = me.error?.status === 401;
  useEffect(() => {
    if (isRefused) onSignOut();
  }, [isRefused, onSignOut]);
  return (
    <CompanyContext.Provider value={company}>
      <a class="skip" href="#main">
        Skip to the content
      </a>
      <Navigation onSignOut={onSignOut} name={company.name} />
      <main id="main" class="container" tabIndex={-1}>
        <ErrorBoundary>
          <Router>
            <Route path="/console/" component={isMember ? FindPage : NowPage} />
            <Route path="/console/writes/:key" component={WritePage} />
            <Route path="/console/now" component={NowPage} />
            <Route path="/console/companies" component={OperatorCompaniesPage} />
            <Route path="/console/companies/:companyId" component={OperatorWritesPage} />
            <Route path="/console/companies/:companyId/writes/:key" component={OperatorWritePage} />
            <Route default component={NothingHere} />
          </Router>
        </ErrorBoundary>
      </main>
    </CompanyContext.Provider>
  );
}

const PLACES = [{ path: '/console/', name: 'Find a write' }] as const;

/** For whoever has signed in as operator. */
const OPERATOR_PLACES = [
  { path: '/console/now', name: 'Now' },
  { path: '/console/companies', name: 'Any write' },
] as const;

function Navigation({ onSignOut, name }: { readonly onSignOut: () => void; readonly name: string }) {
  const { path } = useLocation();
  const places = [
    ...(currentSession() === undefined ? [] : PLACES),
    ...(operatorSession() === undefined ? [] : OPERATOR_PLACES),
  ];
  return (
    <header class="container">
      <nav aria-label="Console">
        <ul>
          <li>
            <strong>AccuBooks</strong>
          </li>
          {places.map((place) => (
            <li key={place.path}>
              <a href={place.path} aria-current={place.path === path ? 'page' : undefined}>
                {place.name}
              </a>
            </li>
          ))}
        </ul>
        <ul>
          <li>{name}</li>
          <li>
            <button type="button" class="outline secondary" onClick={onSignOut}>
              Sign out
            </button>
          </li>
        </ul>
      </nav>
    </header>
  );
}

function NothingHere() {
  useDocumentTitle('Not found');
  return (
    <>
      <h1>There is no such page</h1>
      <p>
        <a href="/console/">Find a write</a>
      </p>
    </>
  );
}
