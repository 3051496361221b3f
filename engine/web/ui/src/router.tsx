// Which address shows which page.
import { createRootRoute, createRoute, createRouter, lazyRouteComponent } from "@tanstack/react-router";
import { parseSearch, stringifySearch } from "./parts/params";
import { Lost, Shell } from "./Shell";

const root = createRootRoute({ component: Shell, notFoundComponent: Lost });

function page<P extends string>(path: P, load: () => Promise<Record<string, any>>, name: string) {
  return createRoute({ getParentRoute: () => root, path, component: lazyRouteComponent(load, name) });
}

const routes = [
  page("/", () => import("./pages/Graph"), "GraphPage"),
  page("/catalog", () => import("./pages/Catalog"), "CatalogPage"),
  page("/assets/$key", () => import("./pages/Asset"), "AssetPage"),
  page("/launchpad", () => import("./pages/Launchpad"), "LaunchpadPage"),
  page("/runs", () => import("./pages/Runs"), "RunsPage"),
  page("/runs/$id", () => import("./pages/Run"), "RunPage"),
  page("/jobs", () => import("./pages/Jobs"), "JobsPage"),
  page("/jobs/$name", () => import("./pages/Job"), "JobPage"),
  page("/automation", () => import("./pages/Automation"), "AutomationPage"),
  page("/automation/$id", () => import("./pages/Instigator"), "InstigatorPage"),
  page("/backfills", () => import("./pages/Backfills"), "BackfillsPage"),
  page("/backfills/$id", () => import("./pages/Backfill"), "BackfillPage"),
  page("/checks", () => import("./pages/Checks"), "ChecksPage"),
  page("/resources", () => import("./pages/Resources"), "ResourcesPage"),
  page("/instance", () => import("./pages/Instance"), "InstancePage"),
  page("/query", () => import("./pages/Query"), "QueryPage"),
] as const;

export const router = createRouter({
  routeTree: root.addChildren(routes),
  defaultPreload: "intent",
  defaultPendingMinMs: 0,
  parseSearch,
  stringifySearch,
});

declare module "@tanstack/react-router" {
  interface Register {
    router: typeof router;
  }
}
