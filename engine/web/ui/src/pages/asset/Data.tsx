import { useState } from "react";
import { api, type Schemas } from "../../api/client";
import { DataTable } from "../../parts/DataTable";
import { moment, short } from "../../parts/format";
import { Await, Panel } from "../../parts/Page";
import { Pager } from "../../parts/Pager";
import { useParams } from "../../parts/params";

const SIZE = 100;

export function DataTab({ asset }: { asset: Schemas["AssetInfo"] }) {
  const [params, change] = useParams();
  const [sort, setSort] = useState("");
  const [offset, setOffset] = useState(0);
  const versions = api.useQuery("get", "/api/v1/assets/{key}/versions", { params: { path: { key: asset.key }, query: { limit: 50 } } }, { enabled: !asset.is_source });
  const rows = api.useQuery(
    "get", "/api/v1/assets/{key}/rows",
    { params: { path: { key: asset.key }, query: { version: params.version, partitions: params.partitions, sort: sort || undefined, offset, limit: SIZE } } },
    { placeholderData: (before) => before, retry: false },
  );
  const move = (to: Record<string, string | undefined>) => {
    setOffset(0);
    change(to);
  };
  return (
    <Panel
      inset
      title="Rows"
      actions={
        <>
          {asset.partitions != null && (
            <input className="field" aria-label="Partitions" placeholder="partitions, such as 2024-01" defaultValue={params.partitions ?? ""}
              onKeyDown={(event) => event.key === "Enter" && move({ partitions: event.currentTarget.value })} />
          )}
          {versions.data && versions.data.length > 0 && (
            <select className="field" aria-label="Version" value={params.version ?? ""} onChange={(event) => move({ version: event.target.value })}>
              <option value="">what is current</option>
              {versions.data.filter((version) => !version.removed).map((version) => (
                <option key={version.version} value={version.version}>{moment(version.created_at)} · {short(version.version)}</option>
              ))}
            </select>
          )}
          {rows.data && <Pager offset={offset} shown={rows.data.rows.length} total={rows.data.total} more={rows.data.more} size={SIZE} onMove={setOffset} />}
        </>
      }
    >
      <Await of={rows}>{(of) => <DataTable rows={of} sort={sort} first={offset} onSort={(to) => { setOffset(0); setSort(to); }} />}</Await>
    </Panel>
  );
}
