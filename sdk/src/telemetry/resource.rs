//! Who the telemetry is from.

use mcptap_model::semconv;
use opentelemetry::KeyValue;
use opentelemetry::trace::TraceId;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::resource::{EnvResourceDetector, ResourceDetector};
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator};

use super::settings::variable;

/// The resource: what the environment says, `attributes`, and who this process is. `service_name` gives way to the
/// environment when `is_default`.
pub(super) fn resource(service_name: String, is_default: bool, attributes: Vec<KeyValue>) -> Resource {
    let environment = EnvResourceDetector::new().detect();
    let has = |key: &'static str| environment.get(&key.into()).is_some();
    let mut resource = Resource::builder().with_attributes(attributes);
    if !is_default || (variable("OTEL_SERVICE_NAME").is_none() && !has(semconv::SERVICE_NAME)) {
        resource = resource.with_service_name(service_name);
    }
    if !has(semconv::SERVICE_INSTANCE_ID) {
        let id = instance_id(RandomIdGenerator::default().new_trace_id());
        resource = resource.with_attribute(KeyValue::new(semconv::SERVICE_INSTANCE_ID, id));
    }
    resource
        .with_attribute(KeyValue::new(semconv::PROCESS_PID, i64::from(std::process::id())))
        .build()
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

    #[test]
    fn attributes_are_added() {
        let resource = resource("shop".to_owned(), false, vec![KeyValue::new("a", "b")]);
        let value = |key: &'static str| resource.get(&key.into()).map(|value| value.to_string());
        assert_eq!(value("service.name").unwrap(), "shop");
        assert_eq!(value("a").unwrap(), "b");
        assert_eq!(value("service.instance.id").unwrap().len(), 36);
    }
}
