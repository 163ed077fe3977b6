//! Counts the bytes of an answer while it is built, whichever resolver gives them: no field passes by. What is too much
//! is refused where it stands.

use std::sync::Arc;

use async_graphql::async_trait::async_trait;
use async_graphql::extensions::{Extension, ExtensionContext, ExtensionFactory, NextResolve, ResolveInfo};
use async_graphql::{PathSegment, QueryPathNode, QueryPathSegment, ServerResult, Value};
use futures_util::future::pending;
use tokio::task::coop::consume_budget;

use crate::DESCRIPTION;
use crate::cost::Allowance;

/// Counts every value that is given, against the [`Allowance`] of its operation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Meter;

impl ExtensionFactory for Meter {
    fn create(&self) -> Arc<dyn Extension> {
        Arc::new(Self)
    }
}

#[async_trait]
impl Extension for Meter {
    /// Of every field, and of every item of a list.
    async fn resolve(
        &self,
        ctx: &ExtensionContext<'_>,
        info: ResolveInfo<'_>,
        next: NextResolve<'_>,
    ) -> ServerResult<Option<Value>> {
        // An answer of many fields would keep an async worker from everything else.
        consume_budget().await;
        // The library has a text of its own there, the same for every schema.
        if info.parent_type == "__Schema" && info.name == "description" {
            let resolved = next.run(ctx, info).await?;
            return Ok(resolved.map(|_| Value::from(DESCRIPTION)));
        }
        let Some(allowance) = ctx.data_opt::<Arc<Allowance>>() else {
            return next.run(ctx, info).await;
        };
        let is_json = info.return_type.trim_end_matches('!') == "JSON";
        let (node, position) = (*info.path_node, info.field.name.pos);
        let resolved = next.run(ctx, info).await;
        let counted = resolved.and_then(|value| {
            let weight = value.as_ref().map(|value| Weight::of(value, is_json));
            let Weight { text, values } = weight.unwrap_or(Weight { text: 0, values: 1 });
            allowance.deliver(text, values).map_err(|refused| {
                let mut refused = refused.into_server_error(position);
                refused.path = path(&node);
                refused
            })?;
            Ok(value)
        });
        if let Err(error) = &counted
            && allowance.fail(error)
        {
            // The operation ends here: whoever runs it asks `Allowance::verdict`.
            return pending().await;
        }
        counted
    }
}

/// The weight of a value without those that stand in it: the items of lists and the members of objects were counted when they
/// were given, except for JSON, which is one value to the schema whatever it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Weight {
    /// Bytes of texts.
    text: usize,
    /// Values in memory.
    values: usize,
}

impl Weight {
    fn of(value: &Value, is_json: bool) -> Self {
        let own = |text: usize| Self { text, values: 1 };
        match value {
            Value::String(text) => own(text.len()),
            Value::Enum(name) => own(name.len()),
            Value::Binary(binary) => own(binary.len()),
            Value::List(items) if is_json => items
                .iter()
                .fold(own(0), |sum, item| sum.with(Self::of(item, true))),
            // A name is a value too.
            Value::Object(members) if is_json => members.iter().fold(own(0), |sum, (name, value)| {
                sum.with(own(name.len())).with(Self::of(value, true))
            }),
            Value::Null | Value::Number(_) | Value::Boolean(_) | Value::List(_) | Value::Object(_) => own(0),
        }
    }

    fn with(self, other: Self) -> Self {
        Self {
            text: self.text + other.text,
            values: self.values + other.values,
        }
    }
}

fn path(node: &QueryPathNode<'_>) -> Vec<PathSegment> {
    let mut path: Vec<PathSegment> = std::iter::once(node)
        .chain(node.parents())
        .map(|node| match node.segment {
            QueryPathSegment::Index(index) => PathSegment::Index(index),
            QueryPathSegment::Name(name) => PathSegment::Field(name.to_owned()),
        })
        .collect();
    path.reverse();
    path
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn all_values_of_a_json_text_are_counted() {
        let weight = |json: serde_json::Value, is_json| {
            let value = Value::from_json(json).unwrap();
            let Weight { text, values } = Weight::of(&value, is_json);
            (text, values)
        };
        assert_eq!(weight(json!(null), true), (0, 1));
        assert_eq!(weight(json!([0, 1, [true]]), true), (0, 5));
        assert_eq!(weight(json!({"ab": "cde", "f": [null]}), true), (6, 6));
        // Items of other lists were counted when they were given.
        assert_eq!(weight(json!([0, 1, [true]]), false), (0, 1));
        assert_eq!(weight(json!("cde"), false), (3, 1));
    }
}
