//! `View`: a filter that somebody saved under a name.

use async_graphql::{ID, Object};
use mcptap_model::Scope;
use mcptap_store::Reach;

use crate::access::Caller;
use crate::scalars::{DateTime, Json};

/// A saved view.
pub(crate) struct View(pub(crate) mcptap_store::View);

/// Whose views a caller may see and change.
pub(crate) fn reach(caller: &Caller) -> Reach {
    match caller.access().key() {
        Some(key) if !caller.access().servers().is_empty() => Reach::Bound(key.id),
        Some(key) if !caller.may(Scope::Admin) => Reach::Own(key.id),
        _ => Reach::All,
    }
}

/// A filter and columns that somebody saved under a name.
#[Object]
impl View {
    /// For `updateView` and `deleteView`.
    async fn id(&self) -> ID {
        ID(self.0.id.to_string())
    }

    /// What it is called.
    async fn name(&self) -> &str {
        &self.0.content.name
    }

    /// The `id` of the API key whose holder saved it. Null: it is everybody's.
    async fn owner_id(&self) -> Option<ID> {
        self.0.owner.map(|owner| ID(owner.to_string()))
    }

    /// The filter: an object of the form of `CallFilter`.
    async fn filter(&self) -> Option<Json> {
        Json::from_text(&self.0.content.filter)
    }

    /// The columns to show, in order, by whatever names the saving client uses for them.
    async fn columns(&self) -> &[String] {
        &self.0.content.columns
    }

    /// Only calls that began in the last so many seconds, whenever the view is opened: to be put into `from` of the
    /// filter then. Null: no such bound.
    async fn last_seconds(&self) -> Option<i32> {
        self.0.content.last_seconds
    }

    /// When it was saved first.
    async fn created_at(&self) -> DateTime {
        DateTime(self.0.created_at)
    }

    /// When it was changed last.
    async fn updated_at(&self) -> DateTime {
        DateTime(self.0.updated_at)
    }
}
