//! The name of the service, where it is known only while the process runs: a server says what it is called when its client
//! greets it.

use std::sync::{Arc, Mutex, PoisonError};

use opentelemetry::KeyValue;
use opentelemetry_sdk::Resource;

/// The name that was learned. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Naming(Arc<Mutex<Learned>>);

#[derive(Debug, Default)]
struct Learned {
    name: Option<String>,
    /// What the resource of an application's provider says.
    added: Vec<KeyValue>,
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

    /// From now on the resource has the attributes of this one, too, where it has none of that name.
    pub(super) fn add(&self, resource: &Resource) {
        let mut learned = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let attributes = resource.iter();
        let added = attributes.map(|(key, value)| KeyValue::new(key.clone(), value.clone()));
        learned.added = added.collect();
        learned.is_new = true;
    }

    /// The resource with the name and what was added, if that was learned since this was asked last.
    pub(super) fn renamed(&self, resource: &Resource) -> Option<Resource> {
        let mut learned = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !std::mem::take(&mut learned.is_new) {
            return None;
        }
        let own = resource.iter();
        let own = own.map(|(key, value)| KeyValue::new(key.clone(), value.clone()));
        // Of two with one name the later counts.
        let renamed = Resource::builder_empty()
            .with_attributes(learned.added.clone())
            .with_attributes(own);
        Some(match learned.name.clone() {
            Some(name) => renamed.with_service_name(name).build(),
            None => renamed.build(),
        })
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

    #[test]
    fn what_an_applications_resource_says_is_added_and_replaces_nothing() {
        let of = |name: &'static str, key: &'static str| {
            Resource::builder_empty()
                .with_service_name(name)
                .with_attributes([KeyValue::new(key, "of the ".to_owned() + name)])
                .build()
        };
        let naming = Naming::default();
        naming.add(&of("application", "team"));
        let resource = of("shop", "service.instance.id");
        let added = naming.renamed(&resource).unwrap();
        let value = |key: &'static str| added.get(&key.into()).map(|value| value.to_string());
        assert_eq!(value("service.name").as_deref(), Some("shop"));
        assert_eq!(value("team").as_deref(), Some("of the application"));
        assert_eq!(value("service.instance.id").as_deref(), Some("of the shop"));
    }
}
