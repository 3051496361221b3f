import { QueryCache, QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { RouterProvider } from "@tanstack/react-router";
import { createRoot } from "react-dom/client";
import { client, setCsrf } from "./api/client";
import { Toasts } from "./parts/Toasts";
import { router } from "./router";
import "./style/base.css";
import "./style/shell.css";
import "./style/parts.css";

const queries = new QueryClient({
  queryCache: new QueryCache(),
  defaultOptions: { queries: { retry: 1, staleTime: 30_000, refetchOnWindowFocus: true } },
});

// Nothing can be changed before the session has said how.
const { data } = await client.GET("/api/v1/session");
if (data) setCsrf(data.csrf);

createRoot(document.getElementById("root")!).render(
  <QueryClientProvider client={queries}>
    <Toasts>
      <RouterProvider router={router} />
    </Toasts>
  </QueryClientProvider>,
);
