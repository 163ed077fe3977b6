//! Where spans came from: the resource and the scope they share.

use std::cell::OnceCell;
use std::sync::Arc;

use mcptap_model::{Origin, cut_name, semconv};
use opentelemetry_proto::tonic::common::v1::{InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;

use crate::value;

/// A resource and a scope, read when the first span needs them.
pub(super) struct Origins<'a> {
    attributes: &'a [KeyValue],
    scope: Option<&'a InstrumentationScope>,
    service: Option<String>,
    read: OnceCell<Arc<Origin>>,
}

impl<'a> Origins<'a> {
    pub(super) fn new(resource: Option<&'a Resource>, scope: Option<&'a InstrumentationScope>) -> Self {
        let attributes = resource
            .map(|resource| resource.attributes.as_slice())
            .unwrap_or_default();
        let service = text(attributes, semconv::SERVICE_NAME);
        Self {
            attributes,
            scope,
            service: service.filter(|name| !name.starts_with("unknown_service")),
            read: OnceCell::new(),
        }
    }

    /// The service's name.
    pub(super) fn service(&self) -> Option<&str> {
        self.service.as_deref()
    }

    /// The scope's name.
    pub(super) fn scope(&self) -> &str {
        self.scope.map(|scope| scope.name.as_str()).unwrap_or_default()
    }

    /// Whether the resource has an attribute of that name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.attributes.iter().any(|attribute| attribute.key == name)
    }

    /// Everything of it.
    pub(super) fn origin(&self) -> &Arc<Origin> {
        self.read.get_or_init(|| {
            let of = |name: &str| text(self.attributes, name);
            let host = || of("host.id").or_else(|| of("host.name")).unwrap_or_default();
            let process = || Some(format!("{}@{}", of("process.pid")?, host()));
            let mut instance = of(semconv::SERVICE_INSTANCE_ID).or_else(process);
            // Each span of a connection has it in its session.
            instance.as_mut().map(cut_name);
            Arc::new(Origin {
                service: self.service.clone(),
                instance,
                scope: self.scope().to_owned(),
                scope_version: self
                    .scope
                    .map(|scope| scope.version.clone())
                    .filter(|version| !version.is_empty()),
                resource: value::object(self.attributes),
            })
        })
    }
}

/// An attribute's text. Each log line and many spans copy it, so it is cut at once.
fn text(attributes: &[KeyValue], name: &str) -> Option<String> {
    let attribute = attributes.iter().find(|attribute| attribute.key == name)?;
    let mut text = attribute
        .value
        .as_ref()
        .and_then(value::text)
        .filter(|text| !text.is_empty())?;
    cut_name(&mut text);
    Some(text)
}
