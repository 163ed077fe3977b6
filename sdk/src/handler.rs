//! The wrapper as an rmcp handler, which is what rmcp's Streamable HTTP service takes.
//!
//! Each method rebuilds the request and sends it through the wrapped handler's own `Service`, so that the
//! span holds the answer as rmcp finishes it for the client's protocol version. rmcp then does the same to
//! what is returned here, which changes nothing the second time.

#![expect(
    deprecated,
    reason = "a wrapper forwards what rmcp has deprecated but still serves"
)]

use std::borrow::Cow;

use rmcp::model::*;
use rmcp::service::{NotificationContext, RequestContext, SubscriptionContext};
use rmcp::{RoleServer, ServerHandler};

use crate::service::Instrumented;

type Context = RequestContext<RoleServer>;

/// The wrapped handler's `Service` answered with another kind of result than the method's. rmcp's own never
/// does.
fn unexpected() -> ErrorData {
    ErrorData::internal_error("the handler answered with a result of another method", None)
}

/// Sends a request through [`Instrumented::observe`] and takes the answer out of rmcp's union of results.
macro_rules! observed {
    ($self:ident, $context:ident, $request:expr, $($result:ident => $take:expr),+ $(,)?) => {
        match $self.observe(ClientRequest::from($request), $context, None).await? {
            $(ServerResult::$result(result) => Ok($take(result)),)+
            _ => Err(unexpected()),
        }
    };
}

fn paginated<M: Default>(
    params: Option<PaginatedRequestParams>,
) -> RequestOptionalParam<M, PaginatedRequestParams> {
    RequestOptionalParam {
        method: M::default(),
        params,
        extensions: Extensions::default(),
    }
}

impl<H: ServerHandler> ServerHandler for Instrumented<H> {
    async fn ping(&self, context: Context) -> Result<(), ErrorData> {
        observed!(self, context, PingRequest::default(), EmptyResult => |_| ())
    }

    async fn initialize(
        &self,
        params: InitializeRequestParams,
        context: Context,
    ) -> Result<InitializeResult, ErrorData> {
        observed!(self, context, InitializeRequest::new(params), InitializeResult => |result| result)
    }

    fn negotiate_initialize(&self, request: &InitializeRequestParams) -> Result<InitializeResult, ErrorData> {
        self.handler.negotiate_initialize(request)
    }

    fn supported_protocol_versions(&self) -> Cow<'static, [ProtocolVersion]> {
        self.handler.supported_protocol_versions()
    }

    async fn discover(&self, context: Context) -> Result<DiscoverResult, ErrorData> {
        observed!(self, context, DiscoverRequest::default(), DiscoverResult => |result| result)
    }

    async fn complete(
        &self,
        params: CompleteRequestParams,
        context: Context,
    ) -> Result<CompleteResult, ErrorData> {
        observed!(self, context, CompleteRequest::new(params), CompleteResult => |result| result)
    }

    async fn set_level(&self, params: SetLevelRequestParams, context: Context) -> Result<(), ErrorData> {
        observed!(self, context, SetLevelRequest::new(params), EmptyResult => |_| ())
    }

    async fn get_prompt(
        &self,
        params: GetPromptRequestParams,
        context: Context,
    ) -> Result<GetPromptResponse, ErrorData> {
        observed!(self, context, GetPromptRequest::new(params),
            GetPromptResult => GetPromptResponse::Complete,
            InputRequiredResult => GetPromptResponse::InputRequired)
    }

    async fn list_prompts(
        &self,
        params: Option<PaginatedRequestParams>,
        context: Context,
    ) -> Result<ListPromptsResult, ErrorData> {
        let request: ListPromptsRequest = paginated(params);
        observed!(self, context, request, ListPromptsResult => |result| result)
    }

    async fn list_resources(
        &self,
        params: Option<PaginatedRequestParams>,
        context: Context,
    ) -> Result<ListResourcesResult, ErrorData> {
        let request: ListResourcesRequest = paginated(params);
        observed!(self, context, request, ListResourcesResult => |result| result)
    }

    async fn list_resource_templates(
        &self,
        params: Option<PaginatedRequestParams>,
        context: Context,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        let request: ListResourceTemplatesRequest = paginated(params);
        observed!(self, context, request, ListResourceTemplatesResult => |result| result)
    }

    async fn read_resource(
        &self,
        params: ReadResourceRequestParams,
        context: Context,
    ) -> Result<ReadResourceResponse, ErrorData> {
        observed!(self, context, ReadResourceRequest::new(params),
            ReadResourceResult => ReadResourceResponse::Complete,
            InputRequiredResult => ReadResourceResponse::InputRequired)
    }

    fn accepted_subscription_filter(&self, requested: &SubscriptionFilter) -> Option<SubscriptionFilter> {
        self.handler.accepted_subscription_filter(requested)
    }

    async fn listen(&self, context: SubscriptionContext) -> Result<(), ErrorData> {
        // rmcp has acknowledged the subscription by now, so the handler's own method is what is left to run.
        let params = SubscriptionsListenRequestParams::new(context.requested().clone());
        let mut request = ClientRequest::from(SubscriptionsListenRequest::new(params));
        let call = self.begin(&mut request, context.request_context(), None);
        let token = context.request_context().ct.clone();
        let id = context.request_context().id.clone();
        let handling = async {
            self.handler.listen(context).await?;
            Ok(ServerResult::from(SubscriptionsListenResult::complete(id)))
        };
        call.follow(token, handling, self.observer.cap()).await.map(drop)
    }

    async fn subscribe(&self, params: SubscribeRequestParams, context: Context) -> Result<(), ErrorData> {
        observed!(self, context, SubscribeRequest::new(params), EmptyResult => |_| ())
    }

    async fn unsubscribe(&self, params: UnsubscribeRequestParams, context: Context) -> Result<(), ErrorData> {
        observed!(self, context, UnsubscribeRequest::new(params), EmptyResult => |_| ())
    }

    async fn call_tool(
        &self,
        params: CallToolRequestParams,
        context: Context,
    ) -> Result<CallToolResponse, ErrorData> {
        observed!(self, context, CallToolRequest::new(params),
            CallToolResult => CallToolResponse::Complete,
            InputRequiredResult => CallToolResponse::InputRequired,
            CreateTaskResult => CallToolResponse::Task)
    }

    async fn list_tools(
        &self,
        params: Option<PaginatedRequestParams>,
        context: Context,
    ) -> Result<ListToolsResult, ErrorData> {
        let request: ListToolsRequest = paginated(params);
        observed!(self, context, request, ListToolsResult => |result| result)
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        self.handler.get_tool(name)
    }

    async fn on_custom_request(
        &self,
        request: CustomRequest,
        context: Context,
    ) -> Result<CustomResult, ErrorData> {
        observed!(self, context, request, CustomResult => |result| result)
    }

    async fn on_cancelled(
        &self,
        params: CancelledNotificationParam,
        context: NotificationContext<RoleServer>,
    ) {
        self.handler.on_cancelled(params, context).await;
    }

    async fn on_progress(&self, params: ProgressNotificationParam, context: NotificationContext<RoleServer>) {
        self.handler.on_progress(params, context).await;
    }

    async fn on_initialized(&self, context: NotificationContext<RoleServer>) {
        self.handler.on_initialized(context).await;
    }

    async fn on_roots_list_changed(&self, context: NotificationContext<RoleServer>) {
        self.handler.on_roots_list_changed(context).await;
    }

    async fn on_custom_notification(
        &self,
        notification: CustomNotification,
        context: NotificationContext<RoleServer>,
    ) {
        self.handler.on_custom_notification(notification, context).await;
    }

    fn get_info(&self) -> ServerConfig {
        self.handler.get_info()
    }

    async fn get_task(&self, params: GetTaskParams, context: Context) -> Result<GetTaskResult, ErrorData> {
        observed!(self, context, GetTaskRequest::new(params), GetTaskResult => |result| result)
    }

    async fn update_task(&self, params: UpdateTaskParams, context: Context) -> Result<(), ErrorData> {
        observed!(self, context, UpdateTaskRequest::new(params), TaskAckResult => |_| ())
    }

    async fn cancel_task(&self, params: CancelTaskParams, context: Context) -> Result<(), ErrorData> {
        observed!(self, context, CancelTaskRequest::new(params), TaskAckResult => |_| ())
    }

    async fn list_skills(
        &self,
        params: Option<PaginatedRequestParams>,
        context: Context,
    ) -> Result<ListSkillsResult, ErrorData> {
        let request: ListSkillsRequest = paginated(params);
        observed!(self, context, request, ListSkillsResult => |result| result)
    }

    async fn get_skill(
        &self,
        params: GetSkillRequestParams,
        context: Context,
    ) -> Result<GetSkillResult, ErrorData> {
        observed!(self, context, GetSkillRequest::new(params), GetSkillResult => |result| result)
    }

    async fn read_resource_directory(
        &self,
        params: ReadResourceDirectoryRequestParams,
        context: Context,
    ) -> Result<ReadResourceDirectoryResult, ErrorData> {
        let request = ReadResourceDirectoryRequest::new(params);
        observed!(self, context, request, ListResourcesResult => |result| result)
    }
}
