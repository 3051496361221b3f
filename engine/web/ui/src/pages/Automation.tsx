import { Link } from "@tanstack/react-router";
import { api, type Schemas } from "../api/client";
import { ago, moment } from "../parts/format";
import { Await, Empty, Page, Panel } from "../parts/Page";
import { State } from "../parts/State";
import { useTell } from "../parts/Toasts";

type Instigator = Schemas["InstigatorInfo"];

export function AutomationPage() {
  const schedules = api.useQuery("get", "/api/v1/schedules");
  const sensors = api.useQuery("get", "/api/v1/sensors");
  return (
    <Page title="Automation">
      <Panel inset title="Schedules"><Await of={schedules}>{(of) => <Table of={of} schedules />}</Await></Panel>
      <Panel inset title="Sensors and conditions"><Await of={sensors}>{(of) => <Table of={of} />}</Await></Panel>
    </Page>
  );
}

function Table({ of, schedules }: { of: Instigator[]; schedules?: boolean }) {
  return (
    <div className="scroll" tabIndex={0} role="region" aria-label={schedules ? "schedules" : "sensors"}>
      <table className="grid">
        <thead><tr><th>Name</th><th>On</th><th>{schedules ? "When" : "Looks at"}</th><th>Runs</th><th>Last tick</th>{schedules && <th>Next tick</th>}</tr></thead>
        <tbody>
          {of.map((one) => (
            <tr key={one.id} data-instigator={one.id}>
              <td><Link to="/automation/$id" params={{ id: one.id }}><strong>{one.name}</strong></Link>{one.description && <><br /><small>{one.description}</small></>}</td>
              <td><Switch of={one} /></td>
              <td>{one.when}</td>
              <td>{one.target && <code>{one.target}</code>}</td>
              <td>{one.last_tick && <><State state={one.last_tick.status} /> <span title={moment(one.last_tick.ended_at)}>{ago(one.last_tick.ended_at)}</span></>}</td>
              {schedules && <td title={ago(one.next_tick)}>{moment(one.next_tick)}</td>}
            </tr>
          ))}
        </tbody>
      </table>
      {of.length === 0 && <Empty>{schedules ? "The repository has no schedules." : "The repository has no sensors."}</Empty>}
    </div>
  );
}

/** Whether it ticks, and the way to change that. */
export function Switch({ of }: { of: Instigator }) {
  const tell = useTell();
  const schedules = api.useQuery("get", "/api/v1/schedules", undefined, { enabled: false });
  const sensors = api.useQuery("get", "/api/v1/sensors", undefined, { enabled: false });
  const change = api.useMutation("post", "/api/v1/instigators/{id}", {
    onSuccess: () => {
      tell.done(of.running ? `${of.name} ticks no more.` : `${of.name} ticks from now on.`);
      void schedules.refetch();
      void sensors.refetch();
    },
    onError: tell.failed,
  });
  return (
    <button type="button" role="switch" aria-checked={of.running} aria-label={`${of.name} is on`} className="switch" disabled={change.isPending}
      onClick={() => change.mutate({ params: { path: { id: of.id } }, body: of.running ? "stop" : "start" })}>
      <i aria-hidden="true" />{of.running ? "on" : "off"}
    </button>
  );
}
