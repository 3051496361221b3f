//! What is told while something runs: log lines, and with the feature `otel` traces of runs and steps
//! for OpenTelemetry.

use std::io::IsTerminal;

use arrowsmith_execution::RunLogs;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use crate::args::LogFormat;

/// What has to be sent before the process ends.
#[derive(Debug)]
pub(crate) struct Telemetry {
    #[cfg(feature = "otel")]
    traces: Option<opentelemetry_sdk::trace::SdkTracerProvider>,
}

impl Telemetry {
    pub(crate) fn start(verbose: u8, is_daemon: bool, format: LogFormat, logs: &RunLogs) -> Self {
        let default = match verbose {
            0 => "off",
            1 if is_daemon => "warn,arrowsmith=info,arrowsmith_daemon=info,arrowsmith_cli=info",
            1 => "warn,arrowsmith=debug",
            _ => "info,arrowsmith=trace",
        };
        let filter = EnvFilter::try_from_env("ARROWSMITH_LOG").unwrap_or_else(|_| default.into());
        // What libraries say below a warning is noise in the log of a run.
        let kept = Targets::new()
            .with_default(LevelFilter::INFO)
            .with_target("arrowsmith", LevelFilter::DEBUG)
            .with_target("sqlx", LevelFilter::WARN)
            .with_target("datafusion", LevelFilter::WARN);
        let is_shown = std::io::stderr().is_terminal();
        let lines =
            tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(is_shown);
        let lines = match format {
            LogFormat::Text => lines.with_filter(filter).boxed(),
            LogFormat::Json => lines.json().flatten_event(true).with_filter(filter).boxed(),
        };
        let registry =
            tracing_subscriber::registry().with(logs.clone().with_filter(kept)).with(lines);
        // A binary that has its own subscriber keeps it.
        #[cfg(not(feature = "otel"))]
        {
            drop(registry.try_init());
            Self {}
        }
        #[cfg(feature = "otel")]
        {
            let traces = otel::provider();
            drop(registry.with(traces.as_ref().map(otel::layer)).try_init());
            Self { traces }
        }
    }

    /// Sends what is still to be sent, which takes five seconds at most.
    pub(crate) fn flush(&self) {
        #[cfg(feature = "otel")]
        if let Some(traces) = &self.traces
            && let Err(error) = traces.shutdown_with_timeout(otel::SEND_LIMIT)
        {
            crate::output::complain(&format!("traces could not be sent: {error}"));
        }
    }
}

/// Spans as OpenTelemetry has them, sent by OTLP over HTTP as the variables of its specification say.
#[cfg(feature = "otel")]
mod otel {
    use std::time::Duration;

    use opentelemetry::trace::TracerProvider;
    use opentelemetry_otlp::SpanExporter;
    use opentelemetry_sdk::Resource;
    use opentelemetry_sdk::trace::SdkTracerProvider;
    use tracing_subscriber::Layer;
    use tracing_subscriber::filter::filter_fn;
    use tracing_subscriber::registry::LookupSpan;

    pub(super) const SEND_LIMIT: Duration = Duration::from_secs(5);

    /// Nothing, unless a collector is named.
    pub(super) fn provider() -> Option<SdkTracerProvider> {
        let named = ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"];
        let is_set = |name: &&str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        named.iter().find(|name| is_set(name))?;
        let exporter = match SpanExporter::builder().with_http().build() {
            Ok(exporter) => exporter,
            Err(error) => {
                crate::output::complain(&format!("traces cannot be sent: {error}"));
                return None;
            }
        };
        let resource = Resource::builder();
        let resource = match std::env::var_os("OTEL_SERVICE_NAME") {
            Some(_) => resource,
            None => resource.with_service_name("arrowsmith"),
        };
        let provider = SdkTracerProvider::builder().with_batch_exporter(exporter);
        Some(provider.with_resource(resource.build()).build())
    }

    /// Runs and steps; what libraries trace is their own business.
    pub(super) fn layer<S>(provider: &SdkTracerProvider) -> impl Layer<S> + use<S>
    where
        S: tracing::Subscriber + for<'a> LookupSpan<'a>,
    {
        let ours =
            filter_fn(|metadata| metadata.is_span() && metadata.target().starts_with("arrowsmith"));
        let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("arrowsmith"));
        layer.with_location(false).with_threads(false).with_filter(ours)
    }
}
