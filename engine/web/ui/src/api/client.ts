// The typed client: what may be asked, and what is answered, follows from `openapi.json`.
import createFetch from "openapi-fetch";
import createQueries from "openapi-react-query";
import type { components, paths } from "./schema";

export type Schemas = components["schemas"];

let csrf = "";

/** What is sent with whatever changes something; see `Session`. */
export function setCsrf(token: string) {
  csrf = token;
}

export const client = createFetch<paths>({ baseUrl: "/" });

client.use({
  onRequest({ request }) {
    if (request.method !== "GET") {
      request.headers.set("x-arrowsmith-csrf", csrf);
      request.headers.set("content-type", "application/json");
    }
    return request;
  },
  onResponse({ response }) {
    // Whoever is logged out is asked for the token by the server.
    if (response.status === 401) location.reload();
  },
});

export const api = createQueries(client);

/** The sentence of whatever went wrong. */
export function told(error: unknown): string {
  if (error && typeof error === "object" && "message" in error) return String(error.message);
  return error ? String(error) : "";
}
