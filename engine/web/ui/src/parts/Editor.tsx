// CodeMirror in a shadow tree, where its styles are adopted sheets, which the content policy allows.
import { autocompletion, type CompletionSource, closeBrackets, completionKeymap } from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap, indentWithTab } from "@codemirror/commands";
import { PostgreSQL, sql } from "@codemirror/lang-sql";
import { bracketMatching, HighlightStyle, StreamLanguage, syntaxHighlighting } from "@codemirror/language";
import { toml } from "@codemirror/legacy-modes/mode/toml";
import { type Diagnostic, lintGutter, setDiagnostics } from "@codemirror/lint";
import { Compartment, EditorState, type Extension } from "@codemirror/state";
import { drawSelection, EditorView, highlightActiveLine, keymap, lineNumbers } from "@codemirror/view";
import { tags } from "@lezer/highlight";
import { useEffect, useRef } from "react";
import type { Schemas } from "../api/client";

const colors = HighlightStyle.define([
  { tag: [tags.keyword, tags.operatorKeyword, tags.modifier], color: "var(--accent)", fontWeight: "600" },
  { tag: [tags.string, tags.special(tags.string)], color: "var(--fresh)" },
  { tag: [tags.number, tags.bool, tags.null], color: "var(--check)" },
  { tag: [tags.comment, tags.lineComment, tags.blockComment], color: "var(--muted)", fontStyle: "italic" },
  { tag: [tags.typeName, tags.function(tags.variableName)], color: "var(--running)" },
  { tag: [tags.propertyName, tags.definition(tags.propertyName), tags.atom], color: "var(--stale)" },
]);

const theme = EditorView.theme({
  "&": { color: "var(--ink)", backgroundColor: "var(--surface)", fontSize: "13px", height: "100%" },
  "&.cm-focused": { outline: "none" },
  ".cm-scroller": { fontFamily: "var(--mono)", lineHeight: "1.6", overflow: "auto" },
  ".cm-content": { caretColor: "var(--ink)", padding: "8px 0" },
  ".cm-cursor": { borderLeftColor: "var(--ink)" },
  ".cm-gutters": { backgroundColor: "var(--surface)", color: "var(--muted)", border: "none", borderRight: "1px solid var(--line)" },
  ".cm-activeLine, .cm-activeLineGutter": { backgroundColor: "color-mix(in srgb, var(--sunken) 60%, transparent)" },
  "&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground": { background: "var(--accent-soft)" },
  ".cm-tooltip": { backgroundColor: "var(--raised)", color: "var(--ink)", border: "1px solid var(--line)", borderRadius: "6px" },
  ".cm-tooltip-autocomplete ul li[aria-selected]": { backgroundColor: "var(--accent-soft)", color: "var(--ink)" },
});

export type Language = "sql" | "toml" | "text";

function languageOf(language: Language): Extension {
  if (language === "sql") return sql({ dialect: PostgreSQL, upperCaseKeywords: false });
  return language === "toml" ? StreamLanguage.define(toml) : [];
}

/** Places of problems, which count lines and characters from one, as offsets of a text. */
function marks(problems: Schemas["Problem"][], state: EditorState): Diagnostic[] {
  const offset = (line: number, column: number) => {
    const of = state.doc.line(Math.min(Math.max(line, 1), state.doc.lines));
    const before = [...of.text].slice(0, column - 1).join("");
    return Math.min(of.from + before.length, of.to);
  };
  return problems.map((problem) => {
    const at = problem.place;
    const from = at ? offset(at.line, at.column) : 0;
    const to = at ? offset(at.end[0]!, at.end[1]!) : 0;
    const message = [problem.message, ...problem.helps].join("\n");
    return { from, to: Math.max(to, from), severity: problem.severity === "error" ? "error" : "warning", message };
  });
}

export default function Editor({ value, onChange, language, label, problems, complete, onRun, height }: {
  value: string;
  /** Not given for a text that is only shown. */
  onChange?: (text: string) => void;
  language: Language;
  label: string;
  problems?: Schemas["Problem"][];
  complete?: CompletionSource;
  onRun?: () => void;
  height?: string;
}) {
  const host = useRef<HTMLDivElement>(null);
  const view = useRef<EditorView>(null);
  const latest = useRef({ onChange, onRun, complete });
  latest.current = { onChange, onRun, complete };
  useEffect(() => {
    const element = host.current;
    if (!element) return;
    const root = element.shadowRoot ?? element.attachShadow({ mode: "open" });
    root.replaceChildren();
    const parent = document.createElement("div");
    parent.style.height = "100%";
    root.append(parent);
    const writable = latest.current.onChange !== undefined;
    const run = () => {
      latest.current.onRun?.();
      return latest.current.onRun !== undefined;
    };
    const own: CompletionSource = (context) => latest.current.complete?.(context) ?? null;
    const made = new EditorView({
      root,
      parent,
      state: EditorState.create({
        doc: value,
        extensions: [
          lineNumbers(),
          history(),
          drawSelection(),
          bracketMatching(),
          closeBrackets(),
          highlightActiveLine(),
          new Compartment().of(languageOf(language)),
          syntaxHighlighting(colors),
          theme,
          EditorView.lineWrapping,
          EditorView.contentAttributes.of({ "aria-label": label, ...(writable ? {} : { tabindex: "0" }) }),
          EditorState.readOnly.of(!writable),
          EditorView.editable.of(writable),
          writable ? lintGutter() : [],
          autocompletion(latest.current.complete ? { override: [own] } : {}),
          keymap.of([{ key: "Mod-Enter", run }, ...completionKeymap, ...defaultKeymap, ...historyKeymap, ...(writable ? [indentWithTab] : [])]),
          EditorView.updateListener.of((update) => {
            if (update.docChanged) latest.current.onChange?.(update.state.doc.toString());
          }),
        ],
      }),
    });
    view.current = made;
    return () => made.destroy();
    // The text belongs to the editor once it is made.
    // eslint-disable-next-line
  }, [language, label]);
  useEffect(() => {
    const made = view.current;
    if (made && made.state.doc.toString() !== value) {
      made.dispatch({ changes: { from: 0, to: made.state.doc.length, insert: value } });
    }
  }, [value]);
  useEffect(() => {
    const made = view.current;
    if (made && problems) made.dispatch(setDiagnostics(made.state, marks(problems, made.state)));
  }, [problems]);
  return <div ref={host} className="editor" style={{ height: height ?? "auto" }} data-label={label} />;
}
