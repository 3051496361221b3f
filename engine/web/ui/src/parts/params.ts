// What a page shows is in its address, so that a link to it shows the same.
import { useNavigate, useSearch } from "@tanstack/react-router";
import { useCallback } from "react";

export type Params = Record<string, string | undefined>;

/** The parameters of the address, and a way to change some of them in place. */
export function useParams(): [Params, (change: Params, push?: boolean) => void] {
  const params = useSearch({ strict: false }) as Params;
  const navigate = useNavigate();
  const change = useCallback(
    (of: Params, push = false) => {
      void navigate({
        to: ".",
        replace: !push,
        search: (before: Params) => {
          const all = { ...before, ...of };
          return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined && value !== ""));
        },
      });
    },
    [navigate],
  );
  return [params, change];
}

export const parseSearch = (text: string): Params => Object.fromEntries(new URLSearchParams(text));
export const stringifySearch = (params: Record<string, unknown>): string => {
  const pairs = Object.entries(params).filter((pair): pair is [string, string] => typeof pair[1] === "string" && pair[1] !== "");
  const text = new URLSearchParams(pairs).toString();
  return text && `?${text}`;
};
