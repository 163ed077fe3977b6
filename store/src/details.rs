//! `impl Store`: what lists leave out, for many calls at once.

use std::collections::HashMap;

use mcptap_model::{Origin, Payload};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QuerySelect};
use serde_json::{Map, Value};

use crate::entity::{call, detail};
use crate::readers::Reading;
use crate::{Error, Store, dictionary};

/// The heavy part of a call.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Details {
    /// What the client sent.
    pub request: Option<Payload>,
    /// What the server answered.
    pub response: Option<Payload>,
    /// The stack trace of the exception.
    pub stack_trace: Option<String>,
    /// Everything the span carried that has no field of its own, and where it came from: `otel.scope.name`,
    /// `otel.scope.version` and `resource`, an object.
    pub attributes: Map<String, Value>,
}

impl Store {
    /// The details of the calls in these rows, in one query. Rows that do not exist are left out.
    pub async fn details(&self, rows: &[i64]) -> Result<HashMap<i64, Details>, Error> {
        let tx = self.snapshot(Reading::Light).await?;
        let calls: Vec<(i64, i64)> = call::Entity::find()
            .select_only()
            .columns([call::Column::Id, call::Column::Origin])
            .filter(call::Column::Id.is_in(rows.iter().copied()))
            .filter(self.kept())
            .into_tuple()
            .all(&*tx)
            .await?;
        let kept = calls.iter().map(|(id, _)| *id);
        let mut found: HashMap<i64, detail::Model> = detail::Entity::find()
            .filter(detail::Column::Call.is_in(kept))
            .all(&*tx)
            .await?
            .into_iter()
            .map(|row| (row.call, row))
            .collect();
        let origins = self
            .inner
            .dictionary
            .origins(&*tx, calls.iter().map(|(_, origin)| *origin))
            .await?;
        tx.commit().await?;
        calls
            .into_iter()
            .map(|(id, origin)| {
                let mut details = found
                    .remove(&id)
                    .map(dictionary::details)
                    .transpose()?
                    .unwrap_or_default();
                if let Some(origin) = origins.get(&origin) {
                    add_origin(&mut details.attributes, origin);
                }
                Ok((id, details))
            })
            .collect()
    }
}

fn add_origin(attributes: &mut Map<String, Value>, origin: &Origin) {
    if !origin.scope.is_empty() {
        attributes.insert("otel.scope.name".to_owned(), origin.scope.clone().into());
    }
    if let Some(version) = &origin.scope_version {
        attributes.insert("otel.scope.version".to_owned(), version.clone().into());
    }
    attributes.insert("resource".to_owned(), Value::Object(origin.resource.clone()));
}
