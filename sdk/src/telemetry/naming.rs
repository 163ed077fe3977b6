//! The name of the service, where it is known only while the process runs: a server says what it is called when its client
//! greets it.

use std::sync::{Arc, Mutex, PoisonError};

use mcptap_model::semconv;
use opentelemetry::KeyValue;
use opentelemetry_sdk::Resource;

/// The name that was learned. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Naming(Arc<Mutex<Learned>>);

#[derive(Debug, Default)]
struct Learned {
    name: Option<String>,
    is_new: bool,
}

impl Naming {
    /// From now on the service is called so.
    pub(crate) fn learn(&self, name: &str) {
        let mut learned = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if learned.name.as_deref() != Some(name) {
            learned.name = Some(name.to_owned());
            learned.is_new = true;
        }
    }

    /// The resource with the name, if that was learned since this was asked last.
    pub(super) fn renamed(&self, resource: &Resource) -> Option<Resource> {
        let mut learned = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !std::mem::take(&mut learned.is_new) {
            return None;
        }
        let name = learned.name.clone()?;
        let others = resource
            .iter()
            .filter(|(key, _)| key.as_str() != semconv::SERVICE_NAME)
            .map(|(key, value)| KeyValue::new(key.clone(), value.clone()));
        Some(
            Resource::builder_empty()
                .with_attributes(others)
                .with_service_name(name)
                .build(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resource_is_renamed_once_for_each_name() {
        let resource = Resource::builder_empty()
            .with_service_name("python")
            .with_attributes([KeyValue::new("service.instance.id", "7")])
            .build();
        let naming = Naming::default();
        let known = naming.clone();
        assert!(naming.renamed(&resource).is_none());
        known.learn("notes");
        let renamed = naming.renamed(&resource).unwrap();
        let value = |key: &'static str| renamed.get(&key.into()).map(|value| value.to_string());
        assert_eq!(value("service.name").as_deref(), Some("notes"));
        assert_eq!(value("service.instance.id").as_deref(), Some("7"));
        known.learn("notes");
        assert!(naming.renamed(&resource).is_none());
        known.learn("other");
        assert!(naming.renamed(&resource).is_some());
    }
}
