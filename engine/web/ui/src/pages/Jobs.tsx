import { Link } from "@tanstack/react-router";
import { api } from "../api/client";
import { ago, plural } from "../parts/format";
import { Await, Empty, Page } from "../parts/Page";
import { State } from "../parts/State";

export function JobsPage() {
  const jobs = api.useQuery("get", "/api/v1/jobs");
  return (
    <Page title="Jobs">
      <Await of={jobs}>
        {(of) => (
          <section className="panel inset">
            <div className="scroll" tabIndex={0} role="region" aria-label="jobs">
              <table className="grid">
                <thead><tr><th>Job</th><th>What it runs</th><th>Tags</th><th>Last run</th><th /></tr></thead>
                <tbody>
                  {of.map((job) => (
                    <tr key={job.name}>
                      <td><Link to="/jobs/$name" params={{ name: job.name }}><strong>{job.name}</strong></Link>{job.description && <><br /><small>{job.description.split("\n")[0]}</small></>}</td>
                      <td>{job.ops != null ? plural(job.ops, "op") : <code>{job.selection}</code>}</td>
                      <td>{Object.entries(job.tags).map(([name, value]) => <span key={name} className="chip">{name}={value}</span>)}</td>
                      <td>{job.last_run && <><State state={job.last_run.status} /> <Link to="/runs/$id" params={{ id: job.last_run.run_id }}>{ago(job.last_run.created_at)}</Link></>}</td>
                      <td><Link className="button small" to="/launchpad" search={{ job: job.name } as never}>Launch…</Link></td>
                    </tr>
                  ))}
                </tbody>
              </table>
              {of.length === 0 && <Empty>The repository has no jobs. A job runs a selection of assets, or a graph of ops, under a name.</Empty>}
            </div>
          </section>
        )}
      </Await>
    </Page>
  );
}
