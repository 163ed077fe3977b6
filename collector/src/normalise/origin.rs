//! Where spans came from: the resource and the scope they share.

use std::sync::Arc;

use mcptap_model::redact::Redactor;
use mcptap_model::{Origin, semconv};
use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::resource::v1::Resource;

use crate::value;

/// Reads a resource and a scope.
pub(super) fn origin(
    resource: Option<&Resource>,
    scope: Option<&InstrumentationScope>,
    redactor: &Redactor,
) -> Arc<Origin> {
    let attributes = resource
        .map(|resource| resource.attributes.as_slice())
        .unwrap_or_default();
    let text = |name: &str| {
        let attribute = attributes.iter().find(|attribute| attribute.key == name)?;
        attribute
            .value
            .as_ref()
            .and_then(value::text)
            .filter(|text| !text.is_empty())
    };
    let host = || text("host.id").or_else(|| text("host.name")).unwrap_or_default();
    let process = || Some(format!("{}@{}", text("process.pid")?, host()));
    let mut resource = value::object(attributes);
    redactor.redact_object(&mut resource);
    Arc::new(Origin {
        service: text(semconv::SERVICE_NAME).filter(|name| !name.starts_with("unknown_service")),
        instance: text(semconv::SERVICE_INSTANCE_ID).or_else(process),
        scope: scope.map(|scope| scope.name.clone()).unwrap_or_default(),
        scope_version: scope
            .map(|scope| scope.version.clone())
            .filter(|version| !version.is_empty()),
        resource,
    })
}
