// What pages share: a head, panels, and what is shown while there is nothing to show.
import type { ReactNode } from "react";
import { useEffect } from "react";
import { told } from "../api/client";

export function Page({ title, children, actions, lead, full }: {
  title: string;
  children: ReactNode;
  actions?: ReactNode;
  lead?: ReactNode;
  full?: boolean;
}) {
  useEffect(() => {
    document.title = `${title} · Arrowsmith`;
  }, [title]);
  return (
    <div className={full ? "page full" : "page"}>
      <header>
        <div className="stack grow" style={{ gap: 4 }}>
          <h1>{title}</h1>
          {lead}
        </div>
        {actions && <div className="row">{actions}</div>}
      </header>
      {children}
    </div>
  );
}

export function Panel({ title, children, actions, inset }: {
  title?: ReactNode;
  children: ReactNode;
  actions?: ReactNode;
  inset?: boolean;
}) {
  return (
    <section className={inset ? "panel inset" : "panel"}>
      {title && (
        <header>
          <h2>{title}</h2>
          {actions && <div className="row">{actions}</div>}
        </header>
      )}
      <div className="body">{children}</div>
    </section>
  );
}

export function Empty({ children }: { children: ReactNode }) {
  return <p className="empty">{children}</p>;
}

export function Failure({ error }: { error: unknown }) {
  return (
    <div className="notice tone-failed" role="alert">
      <strong>That did not work.</strong> {told(error)}
    </div>
  );
}

type Answer<T> = { data: T | undefined; error: unknown };

/** The children with an answer once it is there, or why it is not. */
export function Await<T>({ of, children }: { of: Answer<T>; children: (data: T) => ReactNode }) {
  if (of.data !== undefined) return <>{children(of.data)}</>;
  if (of.error) return <Failure error={of.error} />;
  return <p className="empty" role="status">Loading…</p>;
}
