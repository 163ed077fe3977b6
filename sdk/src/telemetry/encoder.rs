//! Records become requests: encoded, compressed and addressed by the official exporters, which are given an HTTP
//! client that hands the request over here in place of sending it.

use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, Uri};
use opentelemetry::InstrumentationScope;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{LogExporter, Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::logs::{LogBatch, LogExporter as _, SdkLogRecord};
use opentelemetry_sdk::trace::{SpanData, SpanExporter as _};

use super::error::Error;
use super::parcel::Parcel;
use super::settings::{Compression, Target};
use super::signal::{Lanes, Signal};

/// Where the exporters would have sent their requests.
#[derive(Clone, Debug)]
pub(super) struct Address {
    pub(super) url: Uri,
    /// Those that the user wants, credentials for example, and the user agent.
    pub(super) headers: HeaderMap,
}

/// Encodes for the signals that are switched on.
#[derive(Debug)]
pub(super) struct Encoder {
    spans: Option<SpanExporter>,
    logs: Option<LogExporter>,
    caught: Catcher,
    /// Signals that are sent without compression, whatever the variables say.
    is_plain: Lanes<bool>,
}

/// What the official exporter is told to compress by, which else reads the variables; it cannot be told not to compress.
fn official(target: &Target) -> Option<opentelemetry_otlp::Compression> {
    match target.compression? {
        Compression::None => None,
        Compression::Gzip => Some(opentelemetry_otlp::Compression::Gzip),
        #[cfg(not(feature = "zstd"))]
        Compression::Zstd => None,
        #[cfg(feature = "zstd")]
        Compression::Zstd => Some(opentelemetry_otlp::Compression::Zstd),
    }
}

/// An HTTP client that sends nothing.
#[derive(Clone, Debug, Default)]
struct Catcher(Arc<Mutex<Option<Request<Bytes>>>>);

#[async_trait::async_trait]
impl HttpClient for Catcher {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(request);
        Ok(Response::new(Bytes::new()))
    }
}

// === impl Encoder ===

impl Encoder {
    pub(super) fn new(targets: &Lanes<Option<Target>>, resource: &Resource) -> Result<Self, Error> {
        let caught = Catcher::default();
        let spans = targets.of(Signal::Traces).as_ref().map(|target| {
            let mut builder = SpanExporter::builder()
                .with_http()
                .with_protocol(Protocol::HttpBinary)
                .with_http_client(caught.clone());
            if let Some(endpoint) = &target.endpoint {
                builder = builder.with_endpoint(endpoint);
            }
            if let Some(compression) = official(target) {
                builder = builder.with_compression(compression);
            }
            let mut exporter = builder.build()?;
            exporter.set_resource(resource);
            Ok::<_, Error>(exporter)
        });
        let logs = targets.of(Signal::Logs).as_ref().map(|target| {
            let mut builder = LogExporter::builder()
                .with_http()
                .with_protocol(Protocol::HttpBinary)
                .with_http_client(caught.clone());
            if let Some(endpoint) = &target.endpoint {
                builder = builder.with_endpoint(endpoint);
            }
            if let Some(compression) = official(target) {
                builder = builder.with_compression(compression);
            }
            let mut exporter = builder.build()?;
            exporter.set_resource(resource);
            Ok::<_, Error>(exporter)
        });
        Ok(Self {
            spans: spans.transpose()?,
            logs: logs.transpose()?,
            caught,
            is_plain: Lanes::new(|signal| {
                let target = targets.of(signal).as_ref();
                target.is_some_and(|target| target.compression == Some(Compression::None))
            }),
        })
    }

    /// Sets the resource of everything that is encoded from now on.
    pub(super) fn set_resource(&mut self, resource: &Resource) {
        if let Some(spans) = &mut self.spans {
            spans.set_resource(resource);
        }
        if let Some(logs) = &mut self.logs {
            logs.set_resource(resource);
        }
    }

    /// None when the signal is switched off.
    pub(super) fn address(&self, signal: Signal) -> Option<Address> {
        // An empty request tells where requests go.
        let request = match signal {
            Signal::Traces => self.catch(self.spans.as_ref()?.export(Vec::new())),
            Signal::Logs => self.catch(self.logs.as_ref()?.export(LogBatch::new(&[]))),
        }?;
        let (mut parts, _) = request.into_parts();
        parts.headers.remove(CONTENT_TYPE);
        parts.headers.remove(CONTENT_ENCODING);
        Some(Address {
            url: parts.uri,
            headers: parts.headers,
        })
    }

    /// None when the signal is switched off, or the request is larger than the exporter allows.
    pub(super) fn spans(&self, spans: Vec<SpanData>) -> Option<Parcel> {
        let records = spans.len() as u64;
        let request = self.catch(self.spans.as_ref()?.export(spans))?;
        Some(self.parcel(Signal::Traces, records, request))
    }

    /// As [`spans`](Self::spans).
    pub(super) fn logs(&self, logs: &[(SdkLogRecord, InstrumentationScope)]) -> Option<Parcel> {
        let batch: Vec<_> = logs.iter().map(|(record, scope)| (record, scope)).collect();
        let request = self.catch(self.logs.as_ref()?.export(LogBatch::new(&batch)))?;
        Some(self.parcel(Signal::Logs, logs.len() as u64, request))
    }

    /// The request that an export makes. The export is done at once, since nothing is sent.
    fn catch(&self, export: impl Future<Output = OTelSdkResult>) -> Option<Request<Bytes>> {
        if let Some(Err(error)) = export.now_or_never() {
            tracing::debug!(%error, "records could not be encoded");
        }
        self.caught
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    fn parcel(&self, signal: Signal, records: u64, request: Request<Bytes>) -> Parcel {
        let encoding = request
            .headers()
            .get(CONTENT_ENCODING)
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned);
        let parcel = Parcel {
            signal,
            records,
            encoding,
            body: request.into_body(),
        };
        let plain = self.is_plain.of(signal).then(|| parcel.decompressed());
        plain.flatten().unwrap_or(parcel)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
    use prost::Message;

    use super::*;
    use crate::telemetry::parcel::tests::spans;

    #[test]
    fn the_official_exporter_encodes_and_sends_nothing() {
        let targets = Lanes::new(|signal| {
            (signal == Signal::Traces).then(|| Target {
                endpoint: Some("http://127.0.0.1:1/v1/traces".to_owned()),
                is_grpc: false,
                timeout: Duration::ZERO,
                compression: None,
                certificate: None,
            })
        });
        let resource = Resource::builder_empty().with_service_name("shop").build();
        let encoder = Encoder::new(&targets, &resource).unwrap();
        let address = encoder.address(Signal::Traces).unwrap();
        assert_eq!(address.url, "http://127.0.0.1:1/v1/traces");
        assert!(address.headers.get(CONTENT_TYPE).is_none());
        assert!(encoder.address(Signal::Logs).is_none());

        let parcel = encoder.spans(spans(3, 10)).unwrap();
        assert_eq!((parcel.records, parcel.signal), (3, Signal::Traces));
        let request = ExportTraceServiceRequest::decode(parcel.body).unwrap();
        let spans = request.resource_spans.first().unwrap();
        assert!(format!("{:?}", spans.resource).contains("shop"));
    }
}
