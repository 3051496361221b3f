// A box for the selection language: it completes, and says what is wrong while one types.
import { useEffect, useId, useRef, useState } from "react";
import { api } from "../api/client";

const PAUSE_MS = 250;

export function SelectionBox({ value, onChange, label = "Selection", placeholder }: {
  value: string;
  onChange: (selection: string) => void;
  label?: string;
  placeholder?: string;
}) {
  const [text, setText] = useState(value);
  const [cursor, setCursor] = useState<number>();
  const [at, setAt] = useState(-1);
  const input = useRef<HTMLInputElement>(null);
  const id = useId();
  useEffect(() => setText(value), [value]);
  const bytes = cursor === undefined ? undefined : new TextEncoder().encode(text.slice(0, cursor)).length;
  const asked = api.useQuery("get", "/api/v1/selection", { params: { query: { text, cursor: bytes } } }, {
    placeholderData: (before) => before,
  });
  const error = asked.data?.error ?? undefined;
  useEffect(() => {
    if (text === value || error || asked.isPlaceholderData || asked.isFetching) return;
    const timer = setTimeout(() => onChange(text), PAUSE_MS);
    return () => clearTimeout(timer);
  }, [text, value, error, asked.isPlaceholderData, asked.isFetching, onChange]);
  const completions = cursor === undefined ? [] : (asked.data?.completions ?? []);
  const choose = (completion: string) => {
    const from = new TextDecoder().decode(new TextEncoder().encode(text).slice(0, asked.data?.from ?? 0));
    const changed = from + completion + text.slice(cursor ?? text.length);
    const place = from.length + completion.length;
    setText(changed);
    setCursor(completion.endsWith(":") ? place : undefined);
    setAt(-1);
    requestAnimationFrame(() => input.current?.setSelectionRange(place, place));
  };
  const onKey = (event: React.KeyboardEvent) => {
    if (event.key === "Escape") setCursor(undefined);
    else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      if (completions.length === 0) return;
      event.preventDefault();
      const step = event.key === "ArrowDown" ? 1 : -1;
      setAt((at + step + completions.length) % completions.length);
    } else if ((event.key === "Enter" || event.key === "Tab") && completions[at]) {
      event.preventDefault();
      choose(completions[at]);
    } else if (event.key === "Enter" && !error) {
      setCursor(undefined);
      onChange(text);
    }
  };
  const open = completions.length > 0;
  return (
    <div className="combo grow">
      <input
        ref={input}
        className="field"
        role="combobox"
        aria-label={label}
        aria-expanded={open}
        aria-controls={open ? id : undefined}
        aria-autocomplete="list"
        aria-activedescendant={open && at >= 0 ? `${id}-${at}` : undefined}
        aria-invalid={error ? true : undefined}
        aria-describedby={error ? `${id}-error` : undefined}
        placeholder={placeholder ?? "all assets · group:marts · +daily_summary · tag:slow and not kind:rust"}
        spellCheck={false}
        autoComplete="off"
        value={text}
        onChange={(event) => {
          setText(event.target.value);
          setCursor(event.target.selectionStart ?? event.target.value.length);
          setAt(-1);
        }}
        onKeyDown={onKey}
        onBlur={() => setCursor(undefined)}
      />
      {open && (
        <ul id={id} role="listbox" aria-label="completions">
          {completions.map((completion, index) => (
            <li
              key={completion}
              id={`${id}-${index}`}
              role="option"
              aria-selected={index === at}
              onMouseDown={(event) => {
                event.preventDefault();
                choose(completion);
              }}
            >
              {completion}
            </li>
          ))}
        </ul>
      )}
      {error && !open && <p className="said" id={`${id}-error`} role="alert">{error}</p>}
    </div>
  );
}
