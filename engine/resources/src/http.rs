//! An HTTP client with limits: on time, on the size of an answer, and on retries.

use std::collections::BTreeMap;
use std::time::Duration;

use arrowsmith_definitions::{BoxError, ResourceType, Resources, Secret};
use futures::StreamExt;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Method, StatusCode};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use url::Url;

/// The wait before the first retry; each further one is twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(200);
/// Characters of the body of a failed request that its error shows.
const SHOWN_BODY: usize = 200;

/// How requests are made.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HttpConfig {
    /// What relative URLs begin with.
    #[serde(default)]
    base_url: Option<String>,
    /// Headers of every request.
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// Sent as `Authorization: Bearer …`.
    #[serde(default)]
    bearer_token: Option<Secret<String>>,
    /// How long one attempt may take, in seconds.
    #[serde(default = "timeout_secs")]
    timeout_secs: u64,
    /// How often a `GET` or `HEAD` is tried again after a lost connection or the statuses 429, 502,
    /// 503 and 504.
    #[serde(default = "max_retries")]
    max_retries: u32,
    /// Bytes of an answer that are read at most.
    #[serde(default = "max_body_bytes")]
    max_body_bytes: usize,
}

fn timeout_secs() -> u64 {
    30
}

fn max_retries() -> u32 {
    3
}

fn max_body_bytes() -> usize {
    64 << 20
}

/// An HTTP client, set up once a run; its connections are shared by all steps.
#[derive(Debug)]
pub struct HttpClient {
    client: Client,
    base: Option<Url>,
    max_retries: u32,
    max_body_bytes: usize,
}

/// An answer with a status of success.
#[derive(Debug, Clone)]
pub struct HttpResponse {
    /// From 200 to 299.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
}

/// Why there is no answer. Neither headers nor a query are shown, since they may hold secrets.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HttpError {
    /// The URL, a header or the body cannot be sent.
    #[error("{what} cannot be sent: {reason}")]
    Invalid {
        /// What is wrong.
        what: String,
        /// Why.
        reason: String,
    },
    /// The server did not answer in time, or the connection was lost.
    #[error("{method} {url} failed")]
    Request {
        /// The method.
        method: Method,
        /// Without its query.
        url: String,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// The server refused.
    #[error("{method} {url} was answered with {status}: {body}")]
    Status {
        /// The method.
        method: Method,
        /// Without its query.
        url: String,
        /// Not one of success.
        status: StatusCode,
        /// The beginning of what came with it.
        body: String,
    },
    /// The answer is larger than the limit.
    #[error("the answer of {url} is larger than {limit} bytes")]
    TooLarge {
        /// Without its query.
        url: String,
        /// The limit.
        limit: usize,
    },
    /// The answer is no JSON, or of another shape.
    #[error("the answer of {url} is not the expected JSON")]
    Json {
        /// Without its query.
        url: String,
        /// Where it differs.
        #[source]
        source: serde_json::Error,
    },
}

impl ResourceType for HttpClient {
    type Config = HttpConfig;

    async fn setup(config: HttpConfig, _others: &Resources) -> Result<Self, BoxError> {
        Ok(Self::new(&config)?)
    }
}

impl HttpClient {
    /// A client; nothing is requested yet.
    ///
    /// # Errors
    /// `Invalid` if the base URL or a header is wrong.
    pub fn new(config: &HttpConfig) -> Result<Self, HttpError> {
        let mut headers = HeaderMap::new();
        for (name, value) in &config.headers {
            let invalid =
                |reason: String| HttpError::Invalid { what: format!("header `{name}`"), reason };
            let header = HeaderName::try_from(name).map_err(|e| invalid(e.to_string()))?;
            headers
                .insert(header, HeaderValue::try_from(value).map_err(|e| invalid(e.to_string()))?);
        }
        if let Some(token) = &config.bearer_token {
            let value = HeaderValue::try_from(format!("Bearer {}", token.reveal()));
            let mut value = value.map_err(|error| HttpError::Invalid {
                what: "`bearer_token`".to_owned(),
                reason: error.to_string(),
            })?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        // Without a slash at its end, joining would replace the last segment of the base.
        let base =
            config.base_url.as_deref().map(|base| format!("{}/", base.trim_end_matches('/')));
        let base = base.map(|base| parse(&base, None)).transpose()?;
        let client = Client::builder()
            .default_headers(headers)
            .timeout(Duration::from_secs(config.timeout_secs))
            .user_agent(concat!("arrowsmith/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| HttpError::Invalid {
                what: "a request".to_owned(),
                reason: error.to_string(),
            })?;
        let (max_retries, max_body_bytes) = (config.max_retries, config.max_body_bytes);
        Ok(Self { client, base, max_retries, max_body_bytes })
    }

    /// The body at a URL, which may be relative to the base.
    ///
    /// # Errors
    /// Any of [`HttpError`].
    pub async fn get(&self, url: &str) -> Result<HttpResponse, HttpError> {
        self.send(Method::GET, url, None).await
    }

    /// The JSON at a URL.
    ///
    /// # Errors
    /// Any of [`HttpError`].
    pub async fn get_json<T: DeserializeOwned>(&self, url: &str) -> Result<T, HttpError> {
        let response = self.get(url).await?;
        let url = shown(&self.parse(url)?);
        serde_json::from_slice(&response.body).map_err(|source| HttpError::Json { url, source })
    }

    /// Sends JSON. It is sent once: whether a lost request had an effect is not known.
    ///
    /// # Errors
    /// Any of [`HttpError`].
    pub async fn post_json(
        &self,
        url: &str,
        body: &(impl Serialize + Sync),
    ) -> Result<HttpResponse, HttpError> {
        let body = serde_json::to_vec(body).map_err(|error| HttpError::Invalid {
            what: "the body".to_owned(),
            reason: error.to_string(),
        })?;
        self.send(Method::POST, url, Some(body)).await
    }

    /// The client underneath, for what is not offered here; its limits on time hold, those on size
    /// and retries do not.
    pub fn client(&self) -> &Client {
        &self.client
    }

    fn parse(&self, url: &str) -> Result<Url, HttpError> {
        parse(url, self.base.as_ref())
    }

    async fn send(
        &self,
        method: Method,
        url: &str,
        body: Option<Vec<u8>>,
    ) -> Result<HttpResponse, HttpError> {
        let url = self.parse(url)?;
        let (mut wait, mut left) = (FIRST_WAIT, if body.is_some() { 0 } else { self.max_retries });
        loop {
            let failed = match self.attempt(&method, &url, body.clone()).await {
                Ok(response) => return Ok(response),
                Err(error) => error,
            };
            let passing = match &failed {
                HttpError::Request { source, .. } => source.is_connect() || source.is_timeout(),
                HttpError::Status { status, .. } => matches!(status.as_u16(), 429 | 502..=504),
                _ => false,
            };
            if !passing || left == 0 {
                return Err(failed);
            }
            left -= 1;
            #[expect(
                clippy::disallowed_methods,
                reason = "a server gets better in real time only"
            )]
            tokio::time::sleep(wait).await;
            wait *= 2;
        }
    }

    async fn attempt(
        &self,
        method: &Method,
        url: &Url,
        body: Option<Vec<u8>>,
    ) -> Result<HttpResponse, HttpError> {
        let failed = |source: reqwest::Error| HttpError::Request {
            method: method.clone(),
            url: shown(url),
            source: source.without_url(),
        };
        let mut request = self.client.request(method.clone(), url.clone());
        if let Some(body) = body {
            request = request.header(CONTENT_TYPE, "application/json").body(body);
        }
        let response = request.send().await.map_err(failed)?;
        let status = response.status();
        let (mut received, mut chunks) = (Vec::new(), response.bytes_stream());
        while let Some(chunk) = chunks.next().await {
            received.extend_from_slice(&chunk.map_err(failed)?);
            if received.len() > self.max_body_bytes {
                return Err(HttpError::TooLarge { url: shown(url), limit: self.max_body_bytes });
            }
        }
        if status.is_success() {
            return Ok(HttpResponse { status: status.as_u16(), body: received });
        }
        let body = String::from_utf8_lossy(&received).trim().chars().take(SHOWN_BODY).collect();
        Err(HttpError::Status { method: method.clone(), url: shown(url), status, body })
    }
}

fn parse(url: &str, base: Option<&Url>) -> Result<Url, HttpError> {
    let parsed = match base {
        Some(base) => base.join(url.trim_start_matches('/')),
        None => Url::parse(url),
    };
    let reason = match parsed {
        Ok(parsed) if matches!(parsed.scheme(), "http" | "https") => return Ok(parsed),
        Ok(parsed) => format!("the scheme `{}` is neither http nor https", parsed.scheme()),
        Err(error) => error.to_string(),
    };
    let shown = url.split('?').next().unwrap_or_default();
    Err(HttpError::Invalid { what: format!("the URL `{shown}`"), reason })
}

/// A URL without what may be secret in it.
fn shown(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    // A URL that cannot have a password has none to hide.
    _ = url.set_password(None);
    url.to_string()
}
