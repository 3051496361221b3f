// Markdown of authors: raw HTML in it is text, and links lead only to the web.
import { lazy, Suspense } from "react";

const Renderer = lazy(() => import("react-markdown"));

export function Markdown({ text }: { text: string }) {
  return (
    <Suspense fallback={<p>{text}</p>}>
      <div className="prose">
        <Renderer disallowedElements={["img"]}>{text}</Renderer>
      </div>
    </Suspense>
  );
}
