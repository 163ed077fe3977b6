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
            let bytes = value.as_ref().map_or(0, |value| bytes(value, is_json));
            allowance.deliver(bytes).map_err(|refused| {
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

/// How many bytes a value adds to those that stand in it: lists and objects were counted by what they are made of, except
/// for JSON, which is one value whatever it holds.
fn bytes(value: &Value, is_json: bool) -> usize {
    match value {
        Value::String(text) => text.len(),
        Value::Enum(name) => name.len(),
        Value::Binary(binary) => binary.len(),
        Value::List(items) if is_json => items.iter().map(|item| bytes(item, true)).sum(),
        Value::Object(members) if is_json => members
            .iter()
            .map(|(name, value)| name.len() + bytes(value, true))
            .sum(),
        Value::Null | Value::Number(_) | Value::Boolean(_) | Value::List(_) | Value::Object(_) => 0,
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
