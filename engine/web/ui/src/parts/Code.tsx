// An editor, loaded when it is first needed.
import { type ComponentProps, lazy, Suspense } from "react";

const Editor = lazy(() => import("./Editor"));

export function Code(props: ComponentProps<typeof Editor>) {
  return (
    <Suspense fallback={<pre className="editor-waits">{props.value}</pre>}>
      <Editor {...props} />
    </Suspense>
  );
}
