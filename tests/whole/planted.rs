//! A token planted into every field of OTLP that holds text, found by reflection over its descriptors, and into every
//! attribute that is read: it is nowhere afterwards.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_client::LogsServiceClient;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use prost_reflect::{
    DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, ReflectMessage as _, Value,
};
use serde_json::json;

use crate::secrets::EVERYTHING;
use crate::support::{Client, TestProcess, line, logs_request, on_each_database, span, traces_request};

/// Part of every token. Its length lets it be found in base64, wherever it begins.
const PLANTED: &str = "Pl4ntedT0ken";
/// How deep values stand in values.
const DEEPEST: usize = 2;

/// A token of a well-known shape, another one for each number.
fn token(number: usize) -> String {
    format!("gh{}_{PLANTED}{number:024}", "p")
}

/// A field that holds text or bytes, by the way to it.
#[derive(Clone, Debug)]
struct Place(Vec<FieldDescriptor>);

impl Place {
    fn name(&self) -> String {
        self.0
            .iter()
            .map(FieldDescriptor::name)
            .collect::<Vec<_>>()
            .join(".")
    }

    fn is_bytes(&self) -> bool {
        self.0.last().is_some_and(|field| field.kind() == Kind::Bytes)
    }

    /// Plants a text. Of a list the last entry is taken; what there is besides stays.
    fn plant(&self, message: &mut DynamicMessage, text: &str) {
        fn at(message: &mut DynamicMessage, way: &[FieldDescriptor], leaf: Value) {
            let (field, rest) = way.split_first().unwrap();
            let mut value = message.get_field(field).into_owned();
            let inner = |value: Option<Value>| -> Value {
                if rest.is_empty() {
                    return leaf.clone();
                }
                let Kind::Message(descriptor) = field.kind() else {
                    panic!("{field:?} holds nothing")
                };
                let mut message = match value {
                    Some(Value::Message(message)) => message,
                    _ => DynamicMessage::new(descriptor),
                };
                at(&mut message, rest, leaf.clone());
                Value::Message(message)
            };
            if let Value::List(items) = &mut value {
                // Attributes are added, so that those that make the span a call stay.
                let last = if field.name() == "attributes" {
                    None
                } else {
                    items.pop()
                };
                items.push(inner(last));
            } else {
                value = inner(Some(value));
            }
            message.set_field(field, value);
        }
        let leaf = if self.is_bytes() {
            Value::Bytes(text.as_bytes().to_vec().into())
        } else {
            Value::String(text.to_owned())
        };
        at(message, &self.0, leaf);
    }
}

/// Every place below a message.
fn places(descriptor: &MessageDescriptor, way: &[FieldDescriptor], found: &mut Vec<Place>) {
    for field in descriptor.fields() {
        let mut way = way.to_vec();
        way.push(field.clone());
        match field.kind() {
            Kind::String | Kind::Bytes => found.push(Place(way)),
            Kind::Message(inner) => {
                let values = way.iter().filter(|field| field.name().ends_with("value")).count();
                if values <= DEEPEST {
                    places(&inner, &way, found);
                }
            }
            _ => {}
        }
    }
}

/// The names of attributes that the collector reads, from its own source.
fn names() -> BTreeSet<&'static str> {
    let source = include_str!("../../collector/src/normalise/keys.rs");
    let names = source
        .lines()
        .filter_map(|line| line.trim().split_once(" = \"")?.1.strip_suffix("\","));
    names.collect()
}

/// OTLP/JSON of a message: ids in hex, other bytes in base64.
fn otlp_json(message: &DynamicMessage) -> serde_json::Value {
    fn value(field: &FieldDescriptor, value: &Value) -> serde_json::Value {
        match value {
            Value::String(text) => json!(text),
            Value::Bytes(bytes) if field.name().ends_with("_id") => {
                json!(bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
            }
            Value::Bytes(bytes) => json!(base64::engine::general_purpose::STANDARD.encode(bytes)),
            Value::Message(message) => otlp_json(message),
            Value::List(items) => items.iter().map(|item| otlp_json_item(field, item)).collect(),
            Value::U64(number) => json!(number.to_string()),
            Value::I64(number) => json!(number.to_string()),
            Value::U32(number) => json!(number),
            Value::I32(number) | Value::EnumNumber(number) => json!(number),
            Value::Bool(truth) => json!(truth),
            other => panic!("{other:?}"),
        }
    }
    let fields = message.fields();
    fields
        .map(|(field, given)| (field.json_name().to_owned(), value(&field, given)))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

fn otlp_json_item(field: &FieldDescriptor, item: &Value) -> serde_json::Value {
    match item {
        Value::Message(message) => otlp_json(message),
        Value::String(text) => json!(text),
        other => panic!("{field:?} {other:?}"),
    }
}

/// Exports of one signal, in each of which a token is planted somewhere else, and where.
fn planted(
    pool: &DescriptorPool,
    request: &str,
    whole: impl Fn() -> Vec<u8>,
) -> Vec<(String, DynamicMessage)> {
    let descriptor = pool.get_message_by_name(request).unwrap();
    let mut found = Vec::new();
    places(&descriptor, &[], &mut found);
    assert!(found.len() > 30, "{}", found.len());
    let whole = || DynamicMessage::decode(descriptor.clone(), &*whole()).unwrap();
    let mut exports: Vec<(String, DynamicMessage)> = Vec::new();
    for place in &found {
        let mut message = whole();
        place.plant(&mut message, &token(exports.len()));
        exports.push((place.name(), message));
    }
    // Each attribute that is read, with the token alone and in the middle of something.
    let attribute = |text: &str| {
        let places = found.iter().filter(move |place| place.name().ends_with(text));
        places.cloned().collect::<Vec<_>>()
    };
    let keys = attribute(".attributes.key");
    for value in attribute(".attributes.value.string_value") {
        let key = keys
            .iter()
            .find(|key| {
                key.0.len() + 1 == value.0.len() && key.0[..key.0.len() - 1] == value.0[..key.0.len() - 1]
            })
            .unwrap();
        let (_, way) = key.0.split_last().unwrap();
        for name in names() {
            for text in [
                token(exports.len()),
                format!("a {{\"b\":\"{}\"}}", token(exports.len())),
            ] {
                let mut message = whole();
                key.plant(&mut message, name);
                // The value goes into the attribute that was just added.
                add_value(&mut message, way, &value.0[way.len()..], &text);
                exports.push((format!("{} {name}", value.name()), message));
            }
        }
    }
    exports
}

/// Plants into the last attribute of a list.
fn add_value(message: &mut DynamicMessage, way: &[FieldDescriptor], rest: &[FieldDescriptor], text: &str) {
    let (field, below) = way.split_first().unwrap();
    let mut value = message.get_field(field).into_owned();
    let inner = match &mut value {
        Value::List(items) => items.last_mut(),
        other => Some(other),
    };
    let Some(Value::Message(inner)) = inner else {
        panic!("{field:?}")
    };
    if below.is_empty() {
        Place(rest.to_vec()).plant(inner, text);
    } else {
        add_value(inner, below, rest, text);
    }
    message.set_field(field, value);
}

/// The surroundings of each token found, as it is or in base64.
fn found(place: &str, bytes: &[u8]) -> Vec<String> {
    let inner = |shift: usize| {
        let text = format!("{}{PLANTED}", &"xx"[..shift]);
        let encoded = STANDARD_NO_PAD.encode(&text);
        let from = (shift * 8).div_ceil(6);
        let to = text.len() * 8 / 6;
        encoded[from..to].to_owned()
    };
    let forms = [PLANTED.to_owned(), inner(0), inner(1), inner(2)];
    let at = |form: &String| {
        let starts = bytes.windows(form.len()).enumerate();
        starts
            .filter(|(_, window)| *window == form.as_bytes())
            .map(|(at, _)| {
                let part = &bytes[at.saturating_sub(60)..(at + 50).min(bytes.len())];
                format!("{place}: …{}…", String::from_utf8_lossy(part).escape_debug())
            })
            .collect::<Vec<_>>()
    };
    forms.iter().flat_map(at).collect()
}

/// Sends one export by each transport; returns the answers.
async fn send(server: &Client, signal: &str, message: &DynamicMessage) -> Vec<u8> {
    let url = format!("{}/v1/{signal}", server.otlp_http_url());
    let mut told = Vec::new();
    let bodies = [
        ("application/x-protobuf", message.encode_to_vec()),
        ("application/json", otlp_json(message).to_string().into_bytes()),
    ];
    for (content_type, body) in bodies {
        let request = server
            .web()
            .post(&url)
            .header("content-type", content_type)
            .body(body);
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 200, "{content_type}");
        told.extend(answer.bytes().await.unwrap());
    }
    let bytes = message.encode_to_vec();
    let answer = if signal == "traces" {
        let request = ExportTraceServiceRequest::decode(&*bytes).unwrap();
        format!("{:?}", server.grpc().await.export(request).await.unwrap())
    } else {
        let request = ExportLogsServiceRequest::decode(&*bytes).unwrap();
        let mut client = LogsServiceClient::connect(server.otlp_grpc_url()).await.unwrap();
        format!("{:?}", client.export(request).await.unwrap())
    };
    told.extend(answer.into_bytes());
    told
}

/// Exports as one: each group of it is one of them.
fn together(exports: &[(String, DynamicMessage)]) -> DynamicMessage {
    let mut whole = exports[0].1.clone();
    let field = whole.descriptor().fields().next().unwrap();
    let groups = exports
        .iter()
        .flat_map(|(_, message)| match message.get_field(&field).into_owned() {
            Value::List(groups) => groups,
            other => panic!("{other:?}"),
        });
    let groups = Value::List(groups.collect());
    whole.set_field(&field, groups);
    whole
}

#[tokio::test]
async fn a_token_in_any_field_is_nowhere() {
    let pool = DescriptorPool::decode(opentelemetry_proto::DESCRIPTORS).unwrap();
    on_each_database(async |database| {
        let server = TestProcess::debugging(&database).await;
        let call = || {
            span("tools/call kept")
                .event("exception", &[("exception.type", "Kept")])
                .link(&span("x"))
        };
        let traces = planted(
            &pool,
            "opentelemetry.proto.collector.trace.v1.ExportTraceServiceRequest",
            || traces_request([call()]).encode_to_vec(),
        );
        let of = call();
        server.export([of.clone()]).await;
        let logs = planted(
            &pool,
            "opentelemetry.proto.collector.logs.v1.ExportLogsServiceRequest",
            || logs_request([line(&of, "kept")]).encode_to_vec(),
        );
        assert!(
            traces.len() > 400 && logs.len() > 200,
            "{} {}",
            traces.len(),
            logs.len()
        );
        let mut leaks = Vec::new();
        for (signal, exports) in [("traces", &traces), ("logs", &logs)] {
            for part in exports.chunks(200) {
                leaks.extend(found("told", &send(&server, signal, &together(part)).await));
            }
        }
        let mut after = serde_json::Value::Null;
        let mut calls = 0;
        loop {
            let shown = server.graphql(EVERYTHING, json!({"after": after})).await;
            leaks.extend(found("shown", shown.to_string().as_bytes()));
            calls += shown["calls"]["nodes"].as_array().unwrap().len();
            let page = &shown["calls"]["pageInfo"];
            if page["hasNextPage"] == false {
                break;
            }
            after = page["endCursor"].clone();
        }
        assert!(calls > 200, "only {calls} calls");
        leaks.extend(found("stored", &database.bytes()));
        leaks.extend(found("logged", server.stopped().await.as_bytes()));
        leaks.extend(found("left", &database.bytes()));
        leaks.sort();
        leaks.dedup();
        // A token's number is that of the field into which it was planted.
        let named = |leak: &String| {
            let number = leak
                .split(PLANTED)
                .nth(1)
                .and_then(|rest| rest.get(..24)?.parse::<usize>().ok());
            let places = number.map(|number| {
                (
                    traces.get(number).map(|place| &place.0),
                    logs.get(number).map(|place| &place.0),
                )
            });
            format!("{leak} {places:?}")
        };
        let leaks: Vec<String> = leaks.iter().map(named).collect();
        assert!(leaks.is_empty(), "{} leaks:\n{}", leaks.len(), leaks.join("\n"));
        assert!(database.bytes().windows(4).any(|window| window == b"kept"));
    })
    .await;
}
