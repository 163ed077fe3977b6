import { lazy, Suspense, useEffect, useState } from "react";
import { Button } from "react-aria-components";
import { Link, Redirect, Route, Switch, useLocation } from "wouter";
import icon from "./icon.svg";
import CallPage from "./pages/call";
import { CallsPage } from "./pages/calls";
import { root } from "./state/endpoint";
import { keyStore } from "./state/key";
import { useGoKeys, useKeys } from "./state/keys";
import { lastPart } from "./state/place";
import { settings } from "./state/settings";
import { useStore } from "./state/store";
import { may, useViewer, useViewerQuestion } from "./state/viewer";
import { Boundary } from "./view/boundary";
import { IgnoredParts } from "./view/ignored";
import { NoReading } from "./view/no-reading";
import { Notices } from "./view/notice";
import { SettingsMenu } from "./view/settings-menu";
import { Shortcuts } from "./view/shortcuts";
import { SignIn } from "./view/sign-in";
import { Skeleton } from "./view/skeleton";
import { useTitle } from "./view/title";

// the list and its calls are what most visits are for; the rest comes when it is asked for
const SessionsPage = lazy(() => import("./pages/sessions"));
const SessionPage = lazy(() => import("./pages/session"));
const OverviewPage = lazy(() => import("./pages/overview"));
const ServersPage = lazy(() => import("./pages/servers"));
const ServerPage = lazy(() => import("./pages/server"));
const SetUpPage = lazy(() => import("./pages/setup"));
const DocPage = lazy(() => import("./pages/doc"));
const KeysPage = lazy(() => import("./pages/keys"));

/** The pages in the order of the menu, with the letter that goes to each after `g`. */
const pages = [
  ["/", "Calls", "c"],
  ["/sessions", "Sessions", "s"],
  ["/overview", "Overview", "o"],
  ["/servers", "Servers", "v"],
  ["/setup", "Setup", "u"],
  ["/keys", "Keys", "k"],
] as const;

/** Whether an address belongs to a page of the menu: it is the page's own, or that of something on it. */
function isAt(path: string, page: string): boolean {
  if (page === "/") return path === "/" || isAt(path, "/calls");
  return path === page || (path.startsWith(`${page}/`) && path.split("/").length === 3);
}

export function App() {
  const [path, navigate] = useLocation();
  const { theme } = useStore(settings);
  const { refused } = useStore(keyStore);
  const viewer = useViewer();
  useViewerQuestion();
  const administers = may(viewer, "ADMIN");
  const offered = pages.filter(([href]) => href !== "/keys" || administers);
  const [help, setHelp] = useState(false);
  useEffect(() => {
    document.documentElement.dataset.theme = theme;
  }, [theme]);
  useKeys({ "?": () => setHelp(true) }, true);
  useGoKeys((letter) => {
    const page = offered.find(([, , key]) => key === letter);
    if (page) navigate(page[0]);
    return page !== undefined;
  });

  return (
    <>
      <a className="skip" href="#main">
        Skip to the content
      </a>
      <header className="top">
        <Link href="/" className="brand">
          <img src={icon} alt="" width="22" height="22" />
          mcptap
        </Link>
        <nav aria-label="Pages">
          {offered.map(([href, words]) => (
            <Link
              key={href}
              href={href}
              className="nav-link"
              aria-current={isAt(path, href) ? "page" : undefined}
            >
              {words}
            </Link>
          ))}
          <a href={new URL("graphql", root).pathname} className="nav-link">
            GraphiQL
          </a>
        </nav>
        <span className="space" />
        <Button
          className="plain icon-only wide-only"
          aria-label="Keyboard shortcuts"
          onPress={() => setHelp(true)}
        >
          <kbd>?</kbd>
        </Button>
        <SettingsMenu />
      </header>
      <IgnoredParts />
      <main id="main" tabIndex={-1}>
        {refused ? (
          <SignIn />
        ) : viewer && !may(viewer, "READ") && !["/keys", "/setup"].includes(path) ? (
          <NoReading viewer={viewer} />
        ) : (
          <Boundary at={path}>
            <Suspense
              fallback={
                <div className="page" aria-busy="true">
                  <Skeleton lines={8} />
                </div>
              }
            >
              <Switch>
                <Route path="/">
                  <CallsPage />
                </Route>
                <Route path="/calls">
                  <CallsPage />
                </Route>
                <Route path="/calls/:id">{() => <CallPage id={lastPart()} />}</Route>
                <Route path="/sessions">
                  <SessionsPage />
                </Route>
                <Route path="/sessions/:id">{() => <SessionPage key={path} id={lastPart()} />}</Route>
                <Route path="/overview">
                  <OverviewPage />
                </Route>
                <Route path="/servers">
                  <ServersPage />
                </Route>
                <Route path="/servers/:name">{() => <ServerPage key={path} name={lastPart()} />}</Route>
                <Route path="/setup">
                  <SetUpPage />
                </Route>
                <Route path="/docs">
                  {/* links of a document are relative to its own address */}
                  <Redirect to={`/docs/readme${location.search}`} replace />
                </Route>
                <Route path="/docs/:name">{() => <DocPage name={lastPart()} />}</Route>
                <Route path="/keys">
                  <KeysPage />
                </Route>
                <Route>
                  <NotFound />
                </Route>
              </Switch>
            </Suspense>
          </Boundary>
        )}
      </main>
      <Shortcuts open={help} onChange={setHelp} />
      <Notices />
    </>
  );
}

function NotFound() {
  useTitle("Page not found");
  return (
    <div className="problem">
      <h1>Page not found</h1>
      <p>There is no page at this address.</p>
      <p>
        <Link href="/">Back to calls</Link>
      </p>
    </div>
  );
}
