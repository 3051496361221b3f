// A problem with the lines that it is about.
import type { Schemas } from "../api/client";

type Problem = Schemas["Problem"];

function Line({ text, mark }: { text: string; mark?: [number, number, string | null | undefined] }) {
  if (!mark) return <>{text}</>;
  const characters = [...text];
  const [from, to, label] = mark;
  const end = Math.max(to, from + 1);
  return (
    <>
      {characters.slice(0, from).join("")}
      <mark>{characters.slice(from, end).join("") || " "}</mark>
      {characters.slice(end).join("")}
      {label && <b>{label}</b>}
    </>
  );
}

export function CodeFrame({ problem }: { problem: Problem }) {
  const at = problem.place;
  return (
    <article className="frame">
      <p>
        <strong>{problem.severity} {problem.code}</strong> {problem.message}
      </p>
      {at && <p className="where">{at.file}:{at.line}:{at.column}</p>}
      {at && at.lines.length > 0 && (
        <pre>
          {at.lines.map((text, index) => {
            const number = at.first_line + index;
            const hit = number === at.line;
            const end = at.end[0] === at.line ? at.end[1]! - 1 : text.length;
            return (
              <span key={number} className={hit ? "line hit" : "line"}>
                <i>{number}</i>
                <Line text={text} mark={hit ? [at.column - 1, end, at.label] : undefined} />
                {"\n"}
              </span>
            );
          })}
        </pre>
      )}
      {problem.helps.map((help) => <p key={help}><span className="muted">help:</span> {help}</p>)}
    </article>
  );
}
