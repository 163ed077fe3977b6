//! A small server to instrument, and the spans it leaves.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Once};
use std::time::Duration;

use mcptap_sdk::instrument_with;
use opentelemetry::baggage::BaggageExt;
use opentelemetry::trace::TraceContextExt;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    InMemorySpanExporter, Sampler, SdkTracerProvider, ShouldSample, Span, SpanData, SpanProcessor,
};
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ClientConfig, ContentBlock, CustomRequest,
    CustomResult, ErrorCode, ErrorData, GetPromptRequestParams, GetPromptResponse, GetPromptResult,
    Implementation, PromptMessage, ProtocolVersion, ReadResourceRequestParams, ReadResourceResponse,
    ReadResourceResult, ResourceContents, Role, ServerCapabilities, ServerConfig,
};
use rmcp::service::{RequestContext, RunningService};
use rmcp::{ClientHandler, ClientLifecycleMode, ClientServiceExt, RoleClient, RoleServer, ServerHandler};
use serde_json::json;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;

/// The eras of the protocol, as a client opens them.
pub(crate) const LEGACY: ClientLifecycleMode = ClientLifecycleMode::Initialize;

/// The lifecycle without `initialize`.
pub(crate) fn modern() -> ClientLifecycleMode {
    ClientLifecycleMode::Discover {
        preferred_versions: vec![ProtocolVersion::V_2026_07_28],
    }
}

/// Tools that do what their names say.
#[derive(Clone)]
pub(crate) struct Shop;

impl ServerHandler for Shop {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder()
            .enable_tools()
            .enable_prompts()
            .enable_resources()
            .enable_completions()
            .build();
        ServerConfig::new(capabilities).with_server_info(Implementation::new("shop", "2.0"))
    }

    async fn call_tool(
        &self,
        params: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let text = |text: String| vec![ContentBlock::text(text)];
        match params.name.as_ref() {
            "span" => {
                let current = opentelemetry::Context::current();
                let id = current.span().span_context().span_id().to_string();
                Ok(CallToolResult::success(text(id)).into())
            }
            "baggage" => {
                let baggage = opentelemetry::Context::current();
                let team = baggage.baggage().get("team").map(ToString::to_string);
                Ok(CallToolResult::success(text(team.unwrap_or_default())).into())
            }
            "fail" => Ok(CallToolResult::error(text("no stock".to_owned())).into()),
            "broken" => Err(ErrorData::internal_error("database is gone", None)),
            "panic" => panic!("a bug in a tool"),
            "patient" => {
                context.ct.cancelled().await;
                Err(ErrorData::new(ErrorCode(-32000), "given up", None))
            }
            "deaf" => {
                tokio::time::sleep(Duration::from_secs(3600)).await;
                Ok(CallToolResult::success(vec![]).into())
            }
            "large" => Ok(CallToolResult::success(text("x".repeat(2 * 1024 * 1024))).into()),
            _ => Err(ErrorData::invalid_params("no such tool", None)),
        }
    }

    async fn get_prompt(
        &self,
        _params: GetPromptRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<GetPromptResponse, ErrorData> {
        Ok(GetPromptResult::new(vec![PromptMessage::new_text(Role::User, "hello")]).into())
    }

    async fn read_resource(
        &self,
        params: ReadResourceRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        Ok(ReadResourceResult::new(vec![ResourceContents::text("contents", params.uri)]).into())
    }

    async fn on_custom_request(
        &self,
        request: CustomRequest,
        _context: RequestContext<RoleServer>,
    ) -> Result<CustomResult, ErrorData> {
        Ok(CustomResult(
            json!({"resultType": "input_required", "echo": request.params}),
        ))
    }
}

/// A client that says who it is.
#[derive(Clone)]
pub(crate) struct Client;

impl ClientHandler for Client {
    fn get_info(&self) -> ClientConfig {
        ClientConfig::new(Default::default(), Implementation::new("probe", "1.2.3"))
    }
}

/// Where the spans of a test end up.
pub(crate) struct Spans {
    memory: InMemorySpanExporter,
    begun: Begun,
    /// How many tasks run while nobody asks for anything.
    tasks: AtomicUsize,
    pub(crate) provider: SdkTracerProvider,
}

/// The names of the spans that have begun.
#[derive(Clone, Debug, Default)]
struct Begun(Arc<Mutex<Vec<String>>>);

impl SpanProcessor for Begun {
    fn on_start(&self, span: &mut Span, _: &opentelemetry::Context) {
        let name = span.exported_data().map(|span| span.name.into_owned());
        self.0.lock().unwrap().extend(name);
    }

    fn on_end(&self, _: SpanData) {}

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

impl Spans {
    pub(crate) fn new() -> Self {
        Self::sampled_by(Sampler::AlwaysOn)
    }

    pub(crate) fn sampled_by(sampler: impl ShouldSample + 'static) -> Self {
        let memory = InMemorySpanExporter::default();
        let begun = Begun::default();
        let provider = SdkTracerProvider::builder()
            .with_sampler(sampler)
            .with_span_processor(begun.clone())
            .with_simple_exporter(memory.clone())
            .build();
        Self {
            memory,
            begun,
            tasks: AtomicUsize::default(),
            provider,
        }
    }

    /// The spans so far, in the order they ended.
    pub(crate) fn all(&self) -> Vec<SpanData> {
        self.memory.get_finished_spans().unwrap()
    }

    /// Nobody asks for anything yet, and all tasks run that serve.
    pub(crate) fn is_quiet_now(&self) {
        let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
        self.tasks.store(tasks, Ordering::Relaxed);
    }

    /// Waits until no more tasks run than then, so that nothing is still to come of what was asked. Where a client or a
    /// session stays, it is waited for a moment only, and false returned.
    pub(crate) async fn quiet(&self) -> bool {
        for _ in 0..100 {
            let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
            if tasks <= self.tasks.load(Ordering::Relaxed) {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        false
    }

    /// Waits until a span of that name has begun.
    pub(crate) async fn begun(&self, name: &str) {
        for _ in 0..1000 {
            if self.begun.0.lock().unwrap().iter().any(|begun| begun == name) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("no span {name} began");
    }

    /// The span named `name`, waited for: a span may end a little after the client has its answer.
    pub(crate) async fn named(&self, name: &str) -> SpanData {
        for _ in 0..3_000 {
            if let Some(span) = self.all().into_iter().find(|span| span.name == name) {
                return span;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let names: Vec<_> = self.all().into_iter().map(|span| span.name).collect();
        panic!("no span {name} among {names:?}");
    }
}

/// The value of an attribute as text.
pub(crate) fn said(span: &SpanData, key: &str) -> Option<String> {
    let mut found = span
        .attributes
        .iter()
        .filter(|attribute| attribute.key.as_str() == key);
    let value = found.next().map(|attribute| attribute.value.to_string());
    assert!(found.next().is_none(), "{key} is on the span twice");
    value
}

/// The value of an attribute that is JSON text.
pub(crate) fn json_said(span: &SpanData, key: &str) -> serde_json::Value {
    serde_json::from_str(&said(span, key).unwrap()).unwrap()
}

/// An instrumented shop and its client at two ends of a pipe.
pub(crate) async fn over_a_pipe(
    spans: &Spans,
    lifecycle: ClientLifecycleMode,
) -> RunningService<RoleClient, Client> {
    let (server_end, client_end) = tokio::io::duplex(64 * 1024);
    let server = instrument_with(Shop, &spans.provider);
    tokio::spawn(async move { server.serve(server_end).await.unwrap().waiting().await });
    Client.serve_with_lifecycle(client_end, lifecycle).await.unwrap()
}

/// Has this thread's spans and events of `tracing` go to a subscriber of its own.
///
/// `tracing` remembers for the whole process whether anybody wants a span, and asks the thread on which that is first met; the
/// process has a subscriber, therefore, which wants all that a test does.
pub(crate) fn subscribe<S>(subscriber: S) -> tracing::subscriber::DefaultGuard
where
    S: tracing::Subscriber + Send + Sync + 'static,
{
    static PROCESS: Once = Once::new();
    PROCESS.call_once(|| {
        let everything = tracing_subscriber::registry().with(LevelFilter::INFO);
        tracing::subscriber::set_global_default(everything).unwrap();
    });
    tracing::subscriber::set_default(subscriber)
}
