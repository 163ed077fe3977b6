//! What a request's span says, by the OpenTelemetry conventions for MCP: pure functions from messages to
//! attributes.

use mcptap_model::semconv;
use opentelemetry::KeyValue;
use opentelemetry::trace::Status;
use rmcp::model::{ClientRequest, ErrorCode, ErrorData, ResultType, ServerResult};
use serde_json::json;

use crate::body::Body;

/// The JSON-RPC errors that are the caller's fault: on a server's span they are no errors (status unset, no
/// `error.type`), as the conventions say since August 2026.
const CALLER_FAULTS: [ErrorCode; 5] = [
    ErrorCode::PARSE_ERROR,
    ErrorCode::INVALID_REQUEST,
    ErrorCode::METHOD_NOT_FOUND,
    ErrorCode::INVALID_PARAMS,
    ErrorCode::RESOURCE_NOT_FOUND,
];

/// What a request is about.
enum Target<'a> {
    Tool(&'a str),
    Prompt(&'a str),
    Resource(&'a str),
    Nothing,
}

fn target(request: &ClientRequest) -> Target<'_> {
    match request {
        ClientRequest::CallToolRequest(request) => Target::Tool(&request.params.name),
        ClientRequest::GetPromptRequest(request) => Target::Prompt(&request.params.name),
        ClientRequest::ReadResourceRequest(request) => Target::Resource(&request.params.uri),
        ClientRequest::SubscribeRequest(request) => Target::Resource(&request.params.uri),
        ClientRequest::UnsubscribeRequest(request) => Target::Resource(&request.params.uri),
        ClientRequest::ReadResourceDirectoryRequest(request) => Target::Resource(&request.params.uri),
        ClientRequest::GetSkillRequest(request) => Target::Resource(&request.params.uri),
        _ => Target::Nothing,
    }
}

/// `{method} {tool or prompt}`, else the method alone. A URI never: there would be as many names as
/// resources.
pub(crate) fn name(request: &ClientRequest) -> String {
    match target(request) {
        Target::Tool(target) | Target::Prompt(target) => format!("{} {target}", request.method()),
        Target::Resource(_) | Target::Nothing => request.method().to_owned(),
    }
}

/// The attributes that the request alone decides.
pub(crate) fn request_attributes(request: &ClientRequest) -> Vec<KeyValue> {
    let mut attributes = vec![KeyValue::new(
        semconv::MCP_METHOD_NAME,
        request.method().to_owned(),
    )];
    match target(request) {
        Target::Tool(name) => {
            attributes.push(KeyValue::new(semconv::GEN_AI_TOOL_NAME, name.to_owned()));
            attributes.push(KeyValue::new(
                semconv::GEN_AI_OPERATION_NAME,
                semconv::EXECUTE_TOOL,
            ));
        }
        Target::Prompt(name) => attributes.push(KeyValue::new(semconv::GEN_AI_PROMPT_NAME, name.to_owned())),
        Target::Resource(uri) => attributes.push(KeyValue::new(semconv::MCP_RESOURCE_URI, uri.to_owned())),
        Target::Nothing => {}
    }
    attributes
}

/// The request as text: `{"method","params"}`.
pub(crate) fn request_body(request: &ClientRequest) -> Vec<KeyValue> {
    body(semconv::REQUEST_BODY, semconv::REQUEST_SIZE, Body::of(request))
}

/// How a request ended.
#[derive(Debug, PartialEq)]
pub(crate) struct Ending {
    /// What the answer adds to the span, its body included.
    pub(crate) attributes: Vec<KeyValue>,
    /// The span's status.
    pub(crate) status: Status,
}

/// Reads how a request ended from its answer.
pub(crate) fn ending(answer: &Result<ServerResult, ErrorData>) -> Ending {
    match answer {
        Ok(result) => result_ending(result),
        Err(error) => error_ending(error),
    }
}

fn result_ending(result: &ServerResult) -> Ending {
    let mut attributes = body(semconv::RESPONSE_BODY, semconv::RESPONSE_SIZE, Body::of(result));
    if let Some(kind) = result_type(result) {
        attributes.push(KeyValue::new(semconv::RESULT_TYPE, kind.to_owned()));
    }
    if let ServerResult::InitializeResult(result) = result {
        attributes.push(KeyValue::new(
            semconv::MCP_PROTOCOL_VERSION,
            result.protocol_version.to_string(),
        ));
    }
    let status = if is_tool_error(result) {
        attributes.push(KeyValue::new(semconv::ERROR_TYPE, semconv::TOOL_ERROR));
        Status::error("")
    } else {
        Status::Unset
    };
    Ending { attributes, status }
}

fn error_ending(error: &ErrorData) -> Ending {
    let code = error.code.0.to_string();
    let mut attributes = body(
        semconv::RESPONSE_BODY,
        semconv::RESPONSE_SIZE,
        Body::of(&json!({ "error": error })),
    );
    attributes.push(KeyValue::new(semconv::RPC_RESPONSE_STATUS_CODE, code.clone()));
    attributes.push(KeyValue::new(semconv::RPC_STATUS_CODE, code.clone()));
    if CALLER_FAULTS.contains(&error.code) {
        return Ending {
            attributes,
            status: Status::Unset,
        };
    }
    attributes.push(KeyValue::new(semconv::ERROR_TYPE, code));
    Ending {
        attributes,
        status: Status::error(error.message.to_string()),
    }
}

fn body(text_key: &'static str, size_key: &'static str, body: Option<Body>) -> Vec<KeyValue> {
    body.map(|body| {
        vec![
            KeyValue::new(text_key, body.text),
            KeyValue::new(size_key, body.size),
        ]
    })
    .unwrap_or_default()
}

/// The result's `resultType` (since 2026-07-28), when it is not the ordinary `complete`.
fn result_type(result: &ServerResult) -> Option<&str> {
    let kind = match result {
        ServerResult::CallToolResult(result) => result.result_type.as_ref(),
        ServerResult::GetPromptResult(result) => result.result_type.as_ref(),
        ServerResult::ReadResourceResult(result) => result.result_type.as_ref(),
        ServerResult::CompleteResult(result) => result.result_type.as_ref(),
        ServerResult::InputRequiredResult(_) => return Some(semconv::INPUT_REQUIRED),
        ServerResult::CreateTaskResult(_) => return Some(semconv::TASK),
        ServerResult::CustomResult(result) => {
            return result
                .0
                .get("resultType")
                .and_then(|kind| kind.as_str())
                .filter(|kind| *kind != "complete");
        }
        _ => None,
    };
    kind.filter(|kind| !kind.is_complete()).map(ResultType::as_str)
}

fn is_tool_error(result: &ServerResult) -> bool {
    matches!(result, ServerResult::CallToolResult(result) if result.is_error == Some(true))
}

#[cfg(test)]
mod tests {
    use rmcp::model::{
        CallToolRequest, CallToolRequestParams, CallToolResult, ContentBlock, CustomRequest, CustomResult,
        GetPromptRequest, GetPromptRequestParams, ReadResourceRequest, ReadResourceRequestParams,
    };

    use super::*;

    fn tool_call() -> ClientRequest {
        let arguments = json!({"id": "o-1"}).as_object().cloned().unwrap();
        ClientRequest::from(CallToolRequest::new(
            CallToolRequestParams::new("get_order").with_arguments(arguments),
        ))
    }

    fn said(attributes: &[KeyValue], key: &str) -> Option<String> {
        attributes
            .iter()
            .find(|attribute| attribute.key.as_str() == key)
            .map(|found| found.value.to_string())
    }

    #[test]
    fn a_name_has_the_tool_or_prompt_and_never_the_uri() {
        assert_eq!(name(&tool_call()), "tools/call get_order");
        let prompt = ClientRequest::from(GetPromptRequest::new(GetPromptRequestParams::new("greet")));
        assert_eq!(name(&prompt), "prompts/get greet");
        let read = ClientRequest::from(ReadResourceRequest::new(ReadResourceRequestParams::new(
            "file:///secret",
        )));
        assert_eq!(name(&read), "resources/read");
        assert_eq!(
            said(&request_attributes(&read), semconv::MCP_RESOURCE_URI).as_deref(),
            Some("file:///secret")
        );
        let custom = ClientRequest::from(CustomRequest::new("shop/ping", None));
        assert_eq!(name(&custom), "shop/ping");
    }

    #[test]
    fn a_tool_call_names_its_tool_and_operation() {
        let attributes = request_attributes(&tool_call());
        assert_eq!(
            said(&attributes, semconv::MCP_METHOD_NAME).as_deref(),
            Some("tools/call")
        );
        assert_eq!(
            said(&attributes, semconv::GEN_AI_TOOL_NAME).as_deref(),
            Some("get_order")
        );
        assert_eq!(
            said(&attributes, semconv::GEN_AI_OPERATION_NAME).as_deref(),
            Some("execute_tool")
        );
    }

    #[test]
    fn a_request_body_is_method_and_params() {
        let attributes = request_body(&tool_call());
        let text = r#"{"method":"tools/call","params":{"name":"get_order","arguments":{"id":"o-1"}}}"#;
        assert_eq!(said(&attributes, semconv::REQUEST_BODY).as_deref(), Some(text));
        assert_eq!(
            said(&attributes, semconv::REQUEST_SIZE),
            Some(text.len().to_string())
        );
    }

    #[test]
    fn the_servers_errors_are_errors() {
        let ending = ending(&Err(ErrorData::internal_error("boom", Some(json!({"at": 1})))));
        assert_eq!(ending.status, Status::error("boom"));
        assert_eq!(
            said(&ending.attributes, semconv::ERROR_TYPE).as_deref(),
            Some("-32603")
        );
        assert_eq!(
            said(&ending.attributes, semconv::RPC_STATUS_CODE).as_deref(),
            Some("-32603")
        );
        assert_eq!(
            said(&ending.attributes, semconv::RESPONSE_BODY).as_deref(),
            Some(r#"{"error":{"code":-32603,"message":"boom","data":{"at":1}}}"#)
        );
    }

    #[test]
    fn the_callers_faults_have_a_code_and_no_error() {
        for code in [-32700, -32600, -32601, -32602, -32002] {
            let ending = ending(&Err(ErrorData::new(ErrorCode(code), "no", None)));
            assert_eq!(ending.status, Status::Unset, "{code}");
            assert_eq!(said(&ending.attributes, semconv::ERROR_TYPE), None, "{code}");
            assert_eq!(
                said(&ending.attributes, semconv::RPC_RESPONSE_STATUS_CODE),
                Some(code.to_string())
            );
        }
    }

    #[test]
    fn a_tools_own_error_is_a_tool_error() {
        let ending = ending(&Ok(ServerResult::from(CallToolResult::error(vec![
            ContentBlock::text("no stock"),
        ]))));
        assert_eq!(ending.status, Status::error(""));
        assert_eq!(
            said(&ending.attributes, semconv::ERROR_TYPE).as_deref(),
            Some("tool_error")
        );
        assert_eq!(said(&ending.attributes, semconv::RPC_STATUS_CODE), None);
    }

    #[test]
    fn only_an_unusual_result_type_is_said() {
        let complete = ending(&Ok(ServerResult::from(CallToolResult::success(vec![]))));
        assert_eq!(said(&complete.attributes, semconv::RESULT_TYPE), None);
        let other = ending(&Ok(ServerResult::CustomResult(CustomResult(
            json!({"resultType": "input_required"}),
        ))));
        assert_eq!(
            said(&other.attributes, semconv::RESULT_TYPE).as_deref(),
            Some("input_required")
        );
    }
}
