use serde_json::json;

use super::*;

fn said(attributes: &[KeyValue], key: &str) -> Option<String> {
    attributes
        .iter()
        .find(|attribute| attribute.key.as_str() == key)
        .map(|found| found.value.to_string())
}

fn ending(method: &str, answer: Value) -> Ending {
    Ending::of(method, &Message::of(&answer, usize::MAX).unwrap())
}

fn target(method: &str, params: Value) -> Target {
    let request = json!({"id": 1, "method": method, "params": params});
    Target::of(method, &Message::of(&request, usize::MAX).unwrap())
}

#[test]
fn a_name_has_the_tool_or_prompt_and_never_the_uri() {
    let tool = target("tools/call", json!({"name": "get_order"}));
    assert_eq!(tool.span_name("tools/call"), "tools/call get_order");
    assert_eq!(
        said(&tool.attributes("tools/call"), semconv::GEN_AI_OPERATION_NAME).as_deref(),
        Some("execute_tool")
    );
    let prompt = target("prompts/get", json!({"name": "greet"}));
    assert_eq!(prompt.span_name("prompts/get"), "prompts/get greet");
    let read = target("resources/read", json!({"uri": "file:///secret"}));
    assert_eq!(read.span_name("resources/read"), "resources/read");
    assert_eq!(
        said(&read.attributes("resources/read"), semconv::MCP_RESOURCE_URI).as_deref(),
        Some("file:///secret")
    );
    assert_eq!(target("shop/ping", json!({})), Target::Nothing);
}

#[test]
fn the_servers_errors_are_errors() {
    let ending = ending(
        "tools/call",
        json!({"id": 1, "error": {"code": -32603, "message": "boom"}}),
    );
    assert_eq!(ending.status, Status::error("boom"));
    assert_eq!(
        said(&ending.attributes, semconv::ERROR_TYPE).as_deref(),
        Some("-32603")
    );
    assert_eq!(
        said(&ending.attributes, semconv::RPC_STATUS_CODE).as_deref(),
        Some("-32603")
    );
}

#[test]
fn a_code_is_read_however_it_is_written() {
    for code in [json!(-32603), json!(-32603.0), json!("-32603")] {
        let ending = ending("tools/call", json!({"id": 1, "error": {"code": code}}));
        assert_eq!(
            said(&ending.attributes, semconv::ERROR_TYPE).as_deref(),
            Some("-32603"),
            "{code}"
        );
    }
}

#[test]
fn a_body_is_cut_only_where_something_was_cut() {
    let truncated = |text: &str, size| {
        let text = text.to_owned();
        said(
            &body(Part::Request, Excerpt { text, size }),
            semconv::REQUEST_TRUNCATED,
        )
        .unwrap()
    };
    assert_eq!(truncated("secret-secret", 13), "false");
    assert_eq!(truncated("secret-secre", 13), "true");
}

#[test]
fn a_body_that_is_copied_is_held_once() {
    let excerpt = Excerpt {
        text: "{}".to_owned(),
        size: 2,
    };
    let [attribute, ..] = body(Part::Request, excerpt);
    let at = |attribute: &KeyValue| match &attribute.value {
        opentelemetry::Value::String(text) => text.as_str().as_ptr(),
        _ => panic!("no text"),
    };
    assert_eq!(at(&attribute), at(&attribute.clone()));
}

#[test]
fn the_callers_faults_have_a_code_and_no_error() {
    for code in CALLER_FAULTS {
        let ending = ending(
            "tools/list",
            json!({"id": 1, "error": {"code": code, "message": "no"}}),
        );
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
    let failed = json!({"id": 1, "result": {"isError": true, "content": []}});
    let tool = ending("tools/call", failed.clone());
    assert_eq!(tool.status, Status::error(""));
    assert_eq!(
        said(&tool.attributes, semconv::ERROR_TYPE).as_deref(),
        Some("tool_error")
    );
    assert_eq!(ending("resources/read", failed).status, Status::Unset);
}

#[test]
fn only_an_unusual_result_type_is_said() {
    let kind = |result: Value| {
        let ending = ending("tools/call", json!({"id": 1, "result": result}));
        said(&ending.attributes, semconv::RESULT_TYPE)
    };
    assert_eq!(kind(json!({"resultType": "complete"})), None);
    assert_eq!(
        kind(json!({"resultType": "input_required"})).as_deref(),
        Some("input_required")
    );
    assert_eq!(kind(json!({"task": {"taskId": "t"}})).as_deref(), Some("task"));
}

#[test]
fn a_tasks_end_is_the_outcome_of_the_request_that_brought_it() {
    let of = |result: Value| ending("tasks/get", json!({"id": 1, "result": result}));
    assert_eq!(
        of(json!({"taskId": "t", "status": "working"})).status,
        Status::Unset
    );
    let failed = of(json!({"status": "failed", "error": {"code": -32603, "message": "boom"}}));
    assert_eq!(failed.status, Status::error("boom"));
    let tool = of(json!({"status": "completed", "result": {"isError": true}}));
    assert_eq!(
        said(&tool.attributes, semconv::ERROR_TYPE).as_deref(),
        Some("tool_error")
    );
    let cancelled = of(json!({"status": "cancelled", "statusMessage": "enough"}));
    assert_eq!(
        said(&cancelled.attributes, semconv::OUTCOME).as_deref(),
        Some("cancelled")
    );
    let more = of(json!({"status": "input_required"}));
    assert_eq!(
        said(&more.attributes, semconv::RESULT_TYPE).as_deref(),
        Some("input_required")
    );
}
