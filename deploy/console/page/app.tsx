import type { ComponentType } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import lazy from 'preact-iso/lazy';
import { LocationProvider, Route, Router, useLocation } from 'preact-iso/router';
import { AccountPage } from './pages/account.tsx';
import { ApprovalsPage } from './pages/approvals.tsx';
import { BatchPage } from './pages/batch.tsx';
import { BatchesPage } from './pages/batches.tsx';
import { BalanceSheetPage, ProfitAndLossPage, ReceivablesPage, TrialBalancePage } from './pages/books.tsx';
import { EntryPage } from './pages/entry.tsx';
import { FindPage } from './pages/find.tsx';
import { OperatorCompaniesPage } from './pages/operator-companies.tsx';
import { OperatorWritePage } from './pages/operator-write.tsx';
import { OperatorWritesPage } from './pages/operator-writes.tsx';
import { SignInAlso, SignInByLink, SignInPage } from './pages/sign-in.tsx';
import { WritePage } from './pages/write.tsx';
import { ActionHost, useChanges } from './parts/action.tsx';
import { Boundary, FailedPage } from './parts/boundary.tsx';
import { type Company, CompanyContext, useCompany } from './parts/company.tsx';
import { useAnswer } from './parts/use-answer.ts';
import { useDocumentTitle } from './parts/use-document-title.ts';
import type { Page } from './parts/use-pages.ts';
import { currentSession, isBack, linkedTokens, operatorSession, signOut, takeNotice } from './session.ts';
import { mayRedeliver } from './write-actions.ts';

/** With the charts, which no other page needs. */
const NowPage = lazy(() =>
  import('./pages/now.tsx').then(
    (page) => page.NowPage,
    () => FailedPage,
  ),
);

/** As a browser does for a page of its own: the keyboard goes on there, and a screen reader says what it is. */
function focusOnPage(): void {
  document.getElementById('main')?.focus();
}

type PageOf = { readonly path: string; readonly component: ComponentType; readonly isOfOperators?: true };

const PAGES: readonly PageOf[] = [
  { path: '/console/', component: FindPage },
  { path: '/console/writes/:key', component: WritePage },
  { path: '/console/books', component: TrialBalancePage },
  { path: '/console/books/receivables', component: ReceivablesPage },
  { path: '/console/books/profit-and-loss', component: ProfitAndLossPage },
  { path: '/console/books/balance-sheet', component: BalanceSheetPage },
  { path: '/console/books/accounts/:code', component: AccountPage },
  { path: '/console/books/entries/:id', component: EntryPage },
  { path: '/console/batches', component: BatchesPage },
  { path: '/console/batches/:key', component: BatchPage },
  { path: '/console/approvals', component: ApprovalsPage },
  { path: '/console/now', component: NowPage, isOfOperators: true },
  { path: '/console/companies', component: OperatorCompaniesPage, isOfOperators: true },
  { path: '/console/companies/:companyId', component: OperatorWritesPage, isOfOperators: true },
  { path: '/console/companies/:companyId/writes/:key', component: OperatorWritePage, isOfOperators: true },
];

const ForMembers = () => <SignInAlso as="member" />;
const ForOperators = () => <SignInAlso as="operator" />;

/** The page itself for whom it is for; others may sign in for it. An operator begins with what operators see. */
function shownFor({ path, component, isOfOperators }: PageOf): ComponentType {
  if (isOfOperators) return operatorSession() === undefined ? ForOperators : component;
  if (currentSession() !== undefined) return component;
  return path === '/console/' ? NowPage : ForMembers;
}

/** The frame of every page: who is signed in, where one may go, and the page itself. */
export function App() {
  const link = linkedTokens();
  if (link !== undefined) return <SignInByLink tokens={link} />;
  if (isBack() || (currentSession() ?? operatorSession()) === undefined) return <SignInPage />;
  return (
    <LocationProvider scope="/console">
      <SignedIn />
    </LocationProvider>
  );
}

type Me = {
  readonly userId: string;
  readonly email: string;
  readonly roles: readonly string[];
  readonly company: { readonly name: string; readonly timeZone: string; readonly baseCurrency: string };
};

function SignedIn() {
  const { path } = useLocation();
  const [notice] = useState(takeNotice);
  const isMember = currentSession() !== undefined;
  const me = useAnswer<Me>(isMember ? '/api/me' : undefined);
  const { userId = '', roles = [], company: known } = me.data ?? {};
  // Only to them the webhook makes a difference.
  const settings = useAnswer<{ readonly webhookUrl: string | null }>(
    mayRedeliver({ userId, roles }) ? '/api/company/settings' : undefined,
  );
  const company: Company = {
    name: known?.name ?? '',
    timeZone: known?.timeZone ?? 'UTC',
    currency: known?.baseCurrency,
    hasWebhook: settings.data?.webhookUrl != null,
    roles,
    userId,
  };
  return (
    <CompanyContext.Provider value={company}>
      <ActionHost>
        <a class="skip" href="#main">
          Skip to the content
        </a>
        <Navigation name={company.name} person={me.data?.email} />
        <main id="main" class="container" tabIndex={-1}>
          {notice === undefined ? null : <p role="alert">{notice}</p>}
          <Boundary path={path}>
            <Router onRouteChange={focusOnPage}>
              {PAGES.map((page) => (
                <Route key={page.path} path={page.path} component={shownFor(page)} />
              ))}
              <Route default component={NothingHere} />
            </Router>
          </Boundary>
        </main>
      </ActionHost>
    </CompanyContext.Provider>
  );
}

const PLACES = [
  { path: '/console/', name: 'Find a write' },
  { path: '/console/books', name: 'Books' },
  { path: '/console/batches', name: 'Batches' },
  { path: '/console/approvals', name: 'Approvals' },
] as const;

/** A policy asks for one of these; to others, the API tells of nothing that waits. */
const APPROVERS = ['owner', 'admin', 'manager', 'accountant', 'auditor', 'inventory_manager'];

/** Of what waits for whoever is signed in, how much is counted. */
const COUNTED = 50;

/** For whoever has signed in as operator. */
const OPERATOR_PLACES = [
  { path: '/console/now', name: 'Now' },
  { path: '/console/companies', name: 'All companies' },
] as const;

type Who = { readonly name: string; readonly person: string | null | undefined };

function Navigation({ name, person }: Who) {
  const { path } = useLocation();
  const waitingForMe = `/api/approvals?waitingFor=me&summary=true&limit=${COUNTED}`;
  const { roles } = useCompany();
  const isApprover = roles.some((role) => APPROVERS.includes(role));
  const waiting = useAnswer<Page<unknown>>(isApprover ? waitingForMe : undefined, { everyMs: 15_000 });
  const changes = useChanges();
  const { again: countAgain } = waiting;
  useEffect(() => {
    if (changes > 0) countAgain();
  }, [changes, countAgain]);
  const count = waiting.data?.items.length ?? 0;
  const isMore = waiting.data?.nextCursor != null;
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
              <a href={place.path} aria-current={isAt(place.path, path) ? 'page' : undefined}>
                {place.name}
                {place.name === 'Approvals' && count > 0 ? (
                  <span class="count">
                    <span aria-hidden="true">{isMore ? `${COUNTED}+` : count}</span>
                    <span class="spoken">{`, ${isMore ? `more than ${COUNTED}` : count} waiting for you`}</span>
                  </span>
                ) : null}
              </a>
            </li>
          ))}
        </ul>
        <ul>
          <li class="who">
            {name === '' ? '\u00a0' : name}
            <small>{person ?? '\u00a0'}</small>
          </li>
          <li>
            <button type="button" class="outline secondary" onClick={signOut}>
              Sign out
            </button>
          </li>
        </ul>
      </nav>
    </header>
  );
}

/** A place and what is below it; the first is only itself, and the writes that it finds. */
function isAt(place: string, path: string): boolean {
  if (place === '/console/') return path === '/console' || path === place || path.startsWith('/console/writes/');
  return path === place || path.startsWith(`${place}/`);
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
