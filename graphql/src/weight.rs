//! The cost of a document, computed by the engine without executing anything.
//!
//! The engine computes it while it validates a document, and gives it to extensions alone. A request must be refused before
//! it takes a permit or its resolvers have anything, so this is a second schema, without data, that only validates.

use std::sync::Arc;

use async_graphql::async_trait::async_trait;
use async_graphql::extensions::{Extension, ExtensionContext, ExtensionFactory, NextValidation};
use async_graphql::parser::types::ExecutableDocument;
use async_graphql::{Request, ServerError, ValidationResult, Variables};
use futures_util::FutureExt;

use crate::error::Code;
use crate::{Schema, builder};

/// How many faults of a document are told: each repeats some of its text.
const MOST_ERRORS: usize = 20;

/// Validates documents against the schema, and weighs them.
#[derive(Clone)]
pub(crate) struct Scales(Schema);

/// A weight, in the units of `cost`.
struct Weight(usize);

impl Scales {
    /// `suggestions`: whether errors may name what the client may have meant, which tells of the schema.
    pub(crate) fn new(suggestions: bool) -> Self {
        let builder = builder().extension(Weigh);
        Self(if suggestions {
            builder.finish()
        } else {
            builder.disable_suggestions().finish()
        })
    }

    /// What the document costs with these variables, or why it does not fit the schema.
    pub(crate) fn weigh(
        &self,
        document: &ExecutableDocument,
        operation_name: Option<&str>,
        variables: &Variables,
    ) -> Result<usize, Vec<ServerError>> {
        let mut request = Request::new("").variables(variables.clone());
        request.operation_name = operation_name.map(str::to_owned);
        request.set_parsed_query(document.clone());
        // Nothing in it waits: no resolver runs.
        let mut errors = self
            .0
            .execute(request)
            .now_or_never()
            .map_or_else(Vec::new, |weighed| weighed.errors);
        errors.truncate(MOST_ERRORS);
        match errors.first().and_then(|error| error.source::<Weight>()) {
            Some(Weight(weight)) => Ok(*weight),
            None if errors.is_empty() => Err(vec![Code::Internal.refusal("the document was not weighed")]),
            None => Err(errors),
        }
    }
}

/// Stops each request once it is weighed.
struct Weigh;

impl ExtensionFactory for Weigh {
    fn create(&self) -> Arc<dyn Extension> {
        Arc::new(Self)
    }
}

#[async_trait]
impl Extension for Weigh {
    async fn validation(
        &self,
        ctx: &ExtensionContext<'_>,
        next: NextValidation<'_>,
    ) -> Result<ValidationResult, Vec<ServerError>> {
        let weighed = next.run(ctx).await?;
        Err(vec![ServerError {
            source: Some(Arc::new(Weight(weighed.complexity))),
            ..ServerError::new("weighed", None)
        }])
    }
}
