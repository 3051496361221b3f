import { api } from "../api/client";
import { CheckCard } from "../parts/Check";
import { Await, Empty, Page } from "../parts/Page";
import { Pager } from "../parts/Pager";
import { useParams } from "../parts/params";

const SIZE = 50;

export function ChecksPage() {
  const [params, change] = useParams();
  const offset = Number(params.offset ?? 0);
  const failed = params.failed === "true";
  const checks = api.useQuery("get", "/api/v1/checks", { params: { query: { failed, offset, limit: SIZE } } }, { placeholderData: (before) => before });
  return (
    <Page title="Checks" actions={<label className="check"><input type="checkbox" checked={failed} onChange={(event) => change({ failed: event.target.checked ? "true" : undefined, offset: undefined })} /> Only those that do not hold</label>}>
      <Await of={checks}>
        {(of) => (
          <div className="stack">
            {of.map((check) => <CheckCard key={check.asset + check.name} check={check} asset />)}
            {of.length === 0 && <section className="panel"><Empty>{failed ? "All checks hold." : "No asset has a check."}</Empty></section>}
            <Pager offset={offset} shown={of.length} more={of.length === SIZE} size={SIZE} onMove={(to) => change({ offset: to ? String(to) : undefined })} />
          </div>
        )}
      </Await>
    </Page>
  );
}
