// What has become of what was asked for, for a moment, where it does not stand in the way.
import { createContext, type ReactNode, useCallback, useContext, useState } from "react";
import { told } from "../api/client";

type Toast = { id: number; tone: string; text: ReactNode };
const Context = createContext<(tone: string, text: ReactNode) => void>(() => {});

const SHOWN_MS = 8000;
let next = 0;

export function Toasts({ children }: { children: ReactNode }) {
  const [toasts, setToasts] = useState<Toast[]>([]);
  const tell = useCallback((tone: string, text: ReactNode) => {
    const id = next++;
    setToasts((all) => [...all.slice(-3), { id, tone, text }]);
    setTimeout(() => setToasts((all) => all.filter((toast) => toast.id !== id)), SHOWN_MS);
  }, []);
  return (
    <Context value={tell}>
      {children}
      <div className="toasts" role="status" aria-live="polite">
        {toasts.map((toast) => (
          <div key={toast.id} className={`notice tone-${toast.tone}`}>{toast.text}</div>
        ))}
      </div>
    </Context>
  );
}

/** Tells that something was done, or why not. */
export function useTell() {
  const tell = useContext(Context);
  return {
    done: (text: ReactNode) => tell("fresh", text),
    failed: (error: unknown) => tell("failed", told(error)),
  };
}
