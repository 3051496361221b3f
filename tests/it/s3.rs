//! Stores and sources on a real S3-compatible server, which runs in this process.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrowsmith::io::{Durability, Store, conformance};
use hyper::body::Incoming;
use hyper::service::{Service, service_fn};
use hyper::{Request, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::faults;
use crate::support::{Project, copy_folder, examples};

const KEY: &str = "arrowsmith";
const SECRET: &str = "CANARY-of-the-tests";

/// A server with one empty bucket `lake`; it ends with the test.
struct Server {
    folder: TempDir,
    address: SocketAddr,
    requests: Arc<Requests>,
    _runtime: tokio::runtime::Runtime,
}

/// What was asked of a server so far.
#[derive(Default)]
struct Requests {
    all: AtomicUsize,
    parts: AtomicUsize,
    /// Each one of so many is refused as too many; zero refuses none.
    refuse_each: usize,
}

impl Requests {
    async fn answer(
        &self,
        request: Request<Incoming>,
        service: S3Service,
    ) -> Result<s3s::HttpResponse, s3s::HttpError> {
        let count = self.all.fetch_add(1, Ordering::Relaxed) + 1;
        if request.uri().query().is_some_and(|query| query.contains("partNumber=")) {
            self.parts.fetch_add(1, Ordering::Relaxed);
        }
        if self.refuse_each > 0 && count.is_multiple_of(self.refuse_each) {
            let text = "<Error><Code>SlowDown</Code></Error>".to_owned();
            let mut refusal = s3s::HttpResponse::new(s3s::Body::from(text));
            *refusal.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            return Ok(refusal);
        }
        Service::call(&service, request).await
    }
}

impl Server {
    fn start() -> Self {
        Self::refusing(0)
    }

    /// A server that refuses each one of so many requests with 503.
    fn refusing(refuse_each: usize) -> Self {
        let requests = Arc::new(Requests { refuse_each, ..Requests::default() });
        let folder = TempDir::new().expect("a folder");
        std::fs::create_dir(folder.path().join("lake")).expect("a bucket");
        let files = s3s_fs::FileSystem::new(folder.path()).expect("a file system");
        let mut service = S3ServiceBuilder::new(files);
        service.set_auth(SimpleAuth::from_single(KEY, SECRET));
        let service = service.build();
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
        let runtime = runtime.expect("a runtime");
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a port");
        let address = listener.local_addr().expect("an address");
        let asked = Arc::clone(&requests);
        runtime.spawn(async move {
            let http = Builder::new(TokioExecutor::new());
            while let Ok((socket, _)) = listener.accept().await {
                let (asked, service) = (Arc::clone(&asked), service.clone());
                let answer = service_fn(move |request| {
                    let (asked, service) = (Arc::clone(&asked), service.clone());
                    async move { asked.answer(request, service).await }
                });
                let connection = http.serve_connection(TokioIo::new(socket), answer);
                tokio::spawn(connection.into_owned());
            }
        });
        Self { folder, address, requests, _runtime: runtime }
    }

    fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Server {
    /// A command that must go well, with the server in its environment.
    fn run(&self, project: &Project, arguments: &[&str]) -> String {
        let output = project
            .command(arguments)
            .env("LAKE_SECRET", SECRET)
            .env("AWS_ENDPOINT", self.endpoint())
            .env("AWS_ALLOW_HTTP", "true")
            .env("AWS_REGION", "us-east-1")
            .env("AWS_ACCESS_KEY_ID", KEY)
            .env("AWS_SECRET_ACCESS_KEY", SECRET)
            .output()
            .expect("a command that runs");
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{arguments:?}: {told}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn store(&self, prefix: &str) -> Store {
        let endpoint = self.endpoint();
        let settings = [
            ("endpoint", endpoint.as_str()),
            ("allow_http", "true"),
            ("region", "us-east-1"),
            ("access_key_id", KEY),
            ("secret_access_key", SECRET),
        ];
        let settings: BTreeMap<String, String> =
            settings.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let url = format!("s3://lake/{prefix}");
        Store::open(&url, Path::new("/"), Durability::None, &settings).expect("a store")
    }
}

#[test]
fn parquet_and_ipc_keep_the_contract_on_s3_and_survive_every_single_fault() {
    let server = Server::start();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    for (make, prefix) in [(faults::parquet as fn(Store) -> _, "ware/house"), (faults::ipc, "ipc")]
    {
        runtime.block_on(conformance::check(make(server.store(prefix))));
        let store = server.store(&format!("{prefix}/faults"));
        runtime.block_on(faults::survives_in(make, store, faults::REMOTE_PATIENCE));
    }
}

/// The warehouse of the flights moves by one line; what speaks S3 is told by the environment.
#[test]
fn the_flights_are_stored_on_s3_by_changing_one_line() {
    let server = Server::start();
    let project = Project::new("");
    copy_folder(&examples().join("flights"), project.path());
    let path = project.path().join("arrowsmith.toml");
    let settings = std::fs::read_to_string(&path).expect("a project file");
    let line = "io_managers.default.store = \"s3://lake/warehouse\"\n";
    project.write("arrowsmith.toml", &format!("{line}{settings}"));
    let run = |arguments: &[&str]| server.run(&project, arguments);
    run(&["materialize", "+carrier_days", "-p", "2013-02"]);
    let days =
        run(&["query", "select count(distinct flight_date) as n from carrier_days", "-f", "csv"]);
    assert_eq!(days, "n\n28\n");
    let files = run(&["files", "carrier_days"]);
    assert!(files.lines().count() == 28 && files.starts_with("s3://lake/warehouse/"), "{files}");
    run(&["fsck"]);
}

/// A file of more than ten megabytes goes up in parts, and a fifth of all requests is refused.
#[test]
fn a_server_that_wants_fewer_requests_is_asked_again_and_large_files_go_in_parts() {
    let server = Server::refusing(5);
    let project = Project::new(
        "== arrowsmith.toml\n[project]\nname = \"large\"\n[io_managers.default]\n\
         store = \"s3://lake/warehouse\"\ncompression = \"none\"\ndictionary = false\n\
         == assets/large.sql\nselect value as n, sin(value) as a, cos(value) as b, tan(value) as c,\n\
         sin(value + 0.5) as d, cos(value + 0.5) as e from generate_series(1, 700000)\n",
    );
    server.run(&project, &["materialize"]);
    let parts = server.requests.parts.load(Ordering::Relaxed);
    assert!(parts >= 2, "{parts} parts");
    let sum = server.run(&project, &["query", "select sum(n) as n from large", "-f", "csv"]);
    assert_eq!(sum, "n\n245000350000\n");
    server.run(&project, &["fsck"]);
    let all = server.requests.all.load(Ordering::Relaxed);
    assert!(all > 10, "{all} requests, of which a fifth was refused");
}

#[test]
fn a_delta_table_is_kept_on_s3() {
    let server = Server::start();
    let project = Project::new(
        "== arrowsmith.toml\n[project]\nname = \"lake\"\n[io_managers.default]\ntype = \"delta\"\n\
         store = \"s3://lake/ware/house\"\n== assets/marts/one.sql\nselect 1 as x\n",
    );
    server.run(&project, &["materialize"]);
    server.run(&project, &["materialize", "--force"]);
    let log = server.folder.path().join("lake/ware/house/marts/one/_delta_log");
    let commit = |n: u32| std::fs::read_to_string(log.join(format!("{n:020}.json")));
    let second = commit(1).expect("a second commit");
    assert!(second.contains("\"add\"") && second.contains("\"remove\""), "{second}");
    assert!(commit(2).is_err(), "no third one");
}

#[test]
fn a_project_moves_to_s3_by_its_settings() {
    let server = Server::start();
    let bucket = server.folder.path().join("lake");
    let project = Project::new("");
    project.ok(&["init", "."]);
    std::fs::create_dir(bucket.join("raw")).expect("a folder");
    std::fs::copy(project.path().join("data/orders.csv"), bucket.join("raw/orders.csv"))
        .expect("an object");
    let settings = std::fs::read_to_string(project.path().join("arrowsmith.toml"));
    let settings = settings.expect("a project file").replace("data/orders.csv", "s3://lake/raw/");
    let settings = settings.replace("path =", "format = \"csv\"\npath =");
    let store = format!(
        "[io_managers.default]\nstore = \"s3://lake/warehouse\"\n\
         [io_managers.default.store_settings]\nendpoint = \"{}\"\nallow_http = true\n\
         region = \"us-east-1\"\naccess_key_id = \"{KEY}\"\n\
         secret_access_key = {{ env = \"LAKE_SECRET\" }}\n",
        server.endpoint()
    );
    project.write("arrowsmith.toml", &format!("{settings}\n{store}"));
    let run = |arguments: &[&str]| server.run(&project, arguments);
    run(&["materialize"]);
    run(&["materialize"]);
    let best = run(&["query", "select customer from top_customers where rank = 1", "-f", "csv"]);
    assert_eq!(best, "customer\nedsger\n");
    let files = run(&["files", "top_customers"]);
    assert!(files.starts_with("s3://lake/warehouse/marts/top_customers/"), "{files}");
    run(&["fsck"]);
    run(&["vacuum", "--retention", "0"]);
    // The server keeps a folder for a prefix without objects.
    let table = std::fs::read_dir(bucket.join("warehouse/marts/top_customers")).expect("a table");
    let manifests = table.flatten().filter(|v| v.path().join("_manifest.json").exists());
    assert_eq!(manifests.count(), 1, "the superseded version is gone");

    // The secret is nowhere but in the environment.
    let home = project.path().join(".arrowsmith");
    for file in [home.join("instance.db"), home.join("instance.db-wal")] {
        let bytes = std::fs::read(&file).unwrap_or_default();
        assert!(!bytes.windows(SECRET.len()).any(|w| w == SECRET.as_bytes()), "{file:?}");
    }
    let wrong = project.command(&["check"]).env_remove("LAKE_SECRET").output().expect("it runs");
    assert_eq!(wrong.status.code(), Some(3));
    let told = String::from_utf8_lossy(&wrong.stderr).into_owned();
    assert!(told.contains("`LAKE_SECRET`, which the environment lacks"), "{told}");
}
