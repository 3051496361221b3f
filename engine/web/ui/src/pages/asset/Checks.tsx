import { type Schemas, api } from "../../api/client";
import { CheckCard } from "../../parts/Check";
import { Await } from "../../parts/Page";

export function ChecksTab({ asset }: { asset: Schemas["AssetInfo"] }) {
  const checks = api.useQuery("get", "/api/v1/checks", { params: { query: { asset: asset.key, limit: 200 } } });
  return <Await of={checks}>{(of) => <div className="stack">{of.map((check) => <CheckCard key={check.name} check={check} />)}</div>}</Await>;
}
