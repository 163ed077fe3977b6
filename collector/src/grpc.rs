//! OTLP/gRPC: three services that unwrap, call [`Collector`] and wrap.

use axum::middleware::from_fn_with_state;
use mcptap_model::Access;
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_server::{LogsService, LogsServiceServer};
use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsServiceRequest, ExportLogsServiceResponse};
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use tonic::codec::CompressionEncoding::{Gzip, Zstd};
use tonic::service::Routes;
use tonic::{Request, Response, Status};

use crate::ingest::Collector;
use crate::{MAX_REQUEST_BYTES, guard};

/// The three OTLP/gRPC services, to be served alone or merged into another tonic server. They accept gzip and zstd,
/// and messages up to 16 MiB after decompression.
pub fn grpc_routes(collector: &Collector) -> Routes {
    let traces = TraceServiceServer::new(collector.clone())
        .accept_compressed(Gzip)
        .accept_compressed(Zstd)
        .max_decoding_message_size(MAX_REQUEST_BYTES);
    let logs = LogsServiceServer::new(collector.clone())
        .accept_compressed(Gzip)
        .accept_compressed(Zstd)
        .max_decoding_message_size(MAX_REQUEST_BYTES);
    let metrics = MetricsServiceServer::new(collector.clone())
        .accept_compressed(Gzip)
        .accept_compressed(Zstd)
        .max_decoding_message_size(MAX_REQUEST_BYTES);
    let routes = Routes::new(traces).add_service(logs).add_service(metrics);
    let guard = from_fn_with_state(collector.clone(), guard::grpc);
    routes.into_axum_router().layer(guard).into()
}

/// Whom the guard let in.
fn sender<T>(request: &Request<T>) -> Result<&Access, Status> {
    let access = request.extensions().get();
    access.ok_or_else(|| Status::internal("it is not known who sends"))
}

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let accepted = self.traces(request.get_ref(), sender(&request)?).await;
        let accepted = accepted.map_err(|refusal| {
            self.refused();
            refusal.grpc_status()
        })?;
        Ok(Response::new(accepted.traces()))
    }
}

#[tonic::async_trait]
impl LogsService for Collector {
    async fn export(
        &self,
        request: Request<ExportLogsServiceRequest>,
    ) -> Result<Response<ExportLogsServiceResponse>, Status> {
        let accepted = self.logs(request.get_ref(), sender(&request)?).await;
        let accepted = accepted.map_err(|refusal| {
            self.refused();
            refusal.grpc_status()
        })?;
        Ok(Response::new(accepted.logs()))
    }
}

#[tonic::async_trait]
impl MetricsService for Collector {
    async fn export(
        &self,
        _request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        Ok(Response::new(Collector::metrics(self).metrics()))
    }
}
