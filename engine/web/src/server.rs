//! [`Web`]: the server.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use arrowsmith_daemon::Daemon;
use arrowsmith_execution::Engine;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::get;
use axum::{Router, http::StatusCode};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{NotForContentType, Predicate, SizeAbove};

use crate::api::{self, ApiError, Caches};
use crate::security::{guard, protect};
use crate::{Access, Error, Result, Token, ui};

/// A request has no more bytes.
const BODY_BYTES_MAX: usize = 1024 * 1024;
/// Pages that are told of events at the same time.
const STREAMS_MAX: usize = 64;
/// Smaller answers are sent as they are.
const COMPRESSED_FROM_BYTES: u64 = 1024;

/// What a server is started with.
#[derive(Debug, Clone)]
pub struct WebOptions {
    /// Where to listen.
    pub address: SocketAddr,
    /// Who is let in.
    pub access: Access,
    /// Whether anybody who is let in may ask with SQL.
    pub query: bool,
}

/// Answers for a repository over HTTP. Clones are the same server.
#[derive(Debug, Clone)]
pub struct Web {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    daemon: Daemon,
    options: WebOptions,
    /// Where it listens, which is known when it does.
    address: OnceLock<SocketAddr>,
    caches: Caches,
    streams: Arc<Semaphore>,
    /// What lets in once.
    code: Mutex<Option<Token>>,
    /// Ends streams, which otherwise would never end.
    ending: CancellationToken,
}

impl Web {
    /// A server for the repository of a daemon.
    ///
    /// # Errors
    /// `Open` if other hosts could reach it and `is_set` says that nobody has set the token.
    pub fn new(daemon: Daemon, options: WebOptions, is_set: bool) -> Result<Self> {
        let address = options.address;
        if !address.ip().is_loopback() && !is_set && options.access.token.is_some() {
            return Err(Error::Open { address });
        }
        let shared = Shared {
            daemon,
            options,
            address: OnceLock::new(),
            caches: Caches::default(),
            streams: Arc::new(Semaphore::new(STREAMS_MAX)),
            code: Mutex::default(),
            ending: CancellationToken::new(),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Takes the address; from then on requests wait until [`serve`](Self::serve) answers them.
    ///
    /// # Errors
    /// `Listen`.
    pub async fn listen(&self) -> Result<TcpListener> {
        let address = self.shared.options.address;
        let failed = |source| Error::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let _ = self.shared.address.set(listener.local_addr().map_err(failed)?);
        Ok(listener)
    }

    /// Answers until `cancel` is cancelled.
    ///
    /// # Errors
    /// `Listen`.
    pub async fn serve(&self, listener: TcpListener, cancel: CancellationToken) -> Result<()> {
        let ending = self.shared.ending.clone();
        let stop = async move {
            cancel.cancelled().await;
            ending.cancel();
        };
        let served = axum::serve(listener, self.router()).with_graceful_shutdown(stop);
        served.await.map_err(|source| Error::Listen { address: self.address(), source })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.shared.address.get().copied().unwrap_or(self.shared.options.address)
    }

    /// A code that lets in once, in the place of the token; the one before is good for nothing.
    pub fn code(&self) -> String {
        let code = Token::random();
        let text = code.reveal().to_owned();
        *self.shared.code.lock().unwrap_or_else(PoisonError::into_inner) = Some(code);
        text
    }

    /// Whether a code lets in; it does not any more afterwards.
    pub(crate) fn use_code(&self, text: &str) -> bool {
        let mut code = self.shared.code.lock().unwrap_or_else(PoisonError::into_inner);
        code.take_if(|code| code.is(text)).is_some()
    }

    /// All routes, behind the guard.
    fn router(&self) -> Router {
        let (routes, _) = api::routes().split_for_parts();
        // A stream is told at once, and what is compressed would wait for more.
        let compressed = SizeAbove::new(COMPRESSED_FROM_BYTES)
            .and(NotForContentType::const_new("text/event-stream"))
            .and(NotForContentType::const_new("image/"));
        Router::new()
            .route("/health", get(|| async { "ok\n" }))
            .nest(api::PREFIX, routes)
            .fallback(ui::file)
            .layer(CompressionLayer::new().compress_when(compressed))
            .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
            .layer(from_fn_with_state(self.clone(), guard))
            .layer(from_fn(protect))
            .with_state(self.clone())
    }

    pub(crate) fn daemon(&self) -> &Daemon {
        &self.shared.daemon
    }

    /// The last version of the repository without errors.
    pub(crate) fn engine(&self) -> std::result::Result<Arc<Engine>, ApiError> {
        self.shared.daemon.engine().ok_or_else(|| {
            ApiError::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "the repository has problems and was never loaded without them",
            )
        })
    }

    pub(crate) fn access(&self) -> &Access {
        &self.shared.options.access
    }

    pub(crate) fn may_query(&self) -> bool {
        self.shared.options.query
    }

    pub(crate) fn caches(&self) -> &Caches {
        &self.shared.caches
    }

    pub(crate) fn streams(&self) -> &Arc<Semaphore> {
        &self.shared.streams
    }

    pub(crate) fn ending(&self) -> &CancellationToken {
        &self.shared.ending
    }

    /// Servers of several ports are one host to a browser, which keeps cookies by host.
    pub(crate) fn cookie_name(&self) -> String {
        format!("arrowsmith-{}", self.address().port())
    }
}
