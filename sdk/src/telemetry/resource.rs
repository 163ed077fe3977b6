//! Who the telemetry is from.

use mcptap_model::semconv;
use opentelemetry::KeyValue;
use opentelemetry::trace::TraceId;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::resource::{ResourceDetector, TelemetryResourceDetector};
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator};

use super::route::percent_decoded;
use super::settings::variable;
use crate::jsonrpc::boundary;

/// The most text of the variable that is read, in bytes.
const LARGEST: usize = 64 * 1024;

/// The resource attributes that the environment gives.
#[derive(Debug, Default)]
pub(super) struct Environment {
    /// The name that somebody gave the service.
    name: Option<String>,
    attributes: Vec<KeyValue>,
}

impl Environment {
    pub(super) fn read() -> Self {
        Self::of(
            variable("OTEL_SERVICE_NAME"),
            &variable("OTEL_RESOURCE_ATTRIBUTES").unwrap_or_default(),
        )
    }

    fn of(name: Option<String>, attributes: &str) -> Self {
        let attributes = listed(attributes);
        let named = || {
            let mut named = attributes.iter();
            named.find(|attribute| attribute.key.as_str() == semconv::SERVICE_NAME)
        };
        let name = name.or_else(|| Some(named()?.value.to_string()));
        Self {
            name: name.filter(|name| !name.is_empty()),
            attributes,
        }
    }

    /// Whether somebody gave the service a name.
    pub(super) fn names_service(&self) -> bool {
        self.name.is_some()
    }

    /// The resource: what the environment says, `attributes`, and who this process is. `service_name` gives way to the
    /// environment when `is_default`.
    pub(super) fn resource(
        self,
        service_name: String,
        is_default: bool,
        attributes: Vec<KeyValue>,
    ) -> Resource {
        let has_instance = self
            .attributes
            .iter()
            .any(|attribute| attribute.key.as_str() == semconv::SERVICE_INSTANCE_ID);
        let name = self.name.filter(|_| is_default).unwrap_or(service_name);
        let mut resource = Resource::builder_empty()
            .with_detector(Box::new(TelemetryResourceDetector) as Box<dyn ResourceDetector>)
            .with_attributes(self.attributes)
            .with_attributes(attributes)
            .with_service_name(name);
        if !has_instance {
            let id = instance_id(RandomIdGenerator::default().new_trace_id());
            resource = resource.with_attribute(KeyValue::new(semconv::SERVICE_INSTANCE_ID, id));
        }
        resource
            .with_attribute(KeyValue::new(semconv::PROCESS_PID, i64::from(std::process::id())))
            .build()
    }
}

/// The pairs of `OTEL_RESOURCE_ATTRIBUTES`: separated by commas, and what cannot stand there is percent-encoded, as
/// in baggage. Of two with one key the later counts.
fn listed(text: &str) -> Vec<KeyValue> {
    let text = text.get(..boundary(text, LARGEST)).unwrap_or(text);
    let decoded = |text: &str| String::from_utf8_lossy(&percent_decoded(text.trim())).into_owned();
    let pairs = text.split(',').filter_map(|pair| pair.split_once('='));
    let mut attributes: Vec<KeyValue> = Vec::new();
    for (key, value) in pairs {
        let attribute = KeyValue::new(decoded(key), decoded(value));
        attributes.retain(|known| known.key != attribute.key);
        if !attribute.key.as_str().is_empty() {
            attributes.push(attribute);
        }
    }
    attributes
}

/// A random UUID (version 4), from the generator of trace ids.
fn instance_id(random: TraceId) -> String {
    let random = u128::from_be_bytes(random.to_bytes());
    let uuid = (random & !(0xf << 76) & !(0x3 << 62)) | (0x4 << 76) | (0x2 << 62);
    let text = format!("{uuid:032x}");
    let mut grouped = String::with_capacity(36);
    for (at, digit) in text.chars().enumerate() {
        if matches!(at, 8 | 12 | 16 | 20) {
            grouped.push('-');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_id_is_a_uuid() {
        let id = instance_id(TraceId::from(u128::MAX));
        assert_eq!(id, "ffffffff-ffff-4fff-bfff-ffffffffffff");
    }

    fn value(resource: &Resource, key: &'static str) -> String {
        resource.get(&key.into()).unwrap().to_string()
    }

    #[test]
    fn attributes_of_the_environment_are_percent_encoded() {
        for (text, expected) in [
            ("a=my%20shop", "my shop"),
            (" a = %C3%A9t%c3%a9 ", "\u{e9}t\u{e9}"),
            ("a=x%2Cy%3Dz%25,", "x,y=z%"),
            ("a=b=c", "b=c"),
            ("a=100% sure %zz %+1", "100% sure %zz %+1"),
            ("a=%ff", "\u{fffd}"),
            ("%61=one,a=two", "two"),
        ] {
            let attributes = listed(text);
            let found: Vec<_> = attributes
                .iter()
                .map(|attribute| (attribute.key.as_str(), attribute.value.to_string()))
                .collect();
            assert_eq!(found, [("a", expected.to_owned())], "{text}");
        }
        assert!(listed("").is_empty() && listed("a,=b,,").is_empty());
    }

    #[test]
    fn the_environment_names_the_service_unless_somebody_did_in_code() {
        let named = |name: Option<&str>, attributes: &str, is_default: bool| {
            let environment = Environment::of(name.map(str::to_owned), attributes);
            let names_service = environment.names_service();
            let resource = environment.resource("argument".to_owned(), is_default, Vec::new());
            (names_service, value(&resource, "service.name"))
        };
        let is = |names_service: bool, name: &str| (names_service, name.to_owned());
        assert_eq!(named(None, "a=b", true), is(false, "argument"));
        assert_eq!(named(Some("one"), "service.name=other", true), is(true, "one"));
        assert_eq!(named(None, "service.name=my%20shop", true), is(true, "my shop"));
        assert_eq!(named(Some("one"), "", false), is(true, "argument"));
        assert_eq!(named(None, "service.name=", true), is(false, "argument"));
    }

    #[test]
    fn attributes_are_added() {
        let given = vec![KeyValue::new("a", "b")];
        let resource = Environment::of(None, "a=c,d=e").resource("shop".to_owned(), false, given);
        assert_eq!(value(&resource, "service.name"), "shop");
        assert_eq!(value(&resource, "a"), "b");
        assert_eq!(value(&resource, "d"), "e");
        assert_eq!(value(&resource, "service.instance.id").len(), 36);
        assert_eq!(value(&resource, "telemetry.sdk.language"), "rust");
    }
}
