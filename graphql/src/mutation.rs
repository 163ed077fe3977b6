//! The mutation root: keys, erasure, saved views. Expected failures are data, in unions; unexpected ones are errors.

use async_graphql::{Context, Error, ID, InputObject, Object, SimpleObject, Union};
use mcptap_model::{CallFilter, NewKey};
use mcptap_store::{Reach, RevokedKey, ViewContent, now};

use crate::access::{Caller, caller};
use crate::cost;
use crate::error::{Code, from_store};
use crate::input::{CallFilterInput, filter as read_filter, filter_of_json};
use crate::loaders::store;
use crate::scalars::{DateTime, Json, int};
use crate::types::{ApiKey, Forbidden, InvalidInput, NotFound, Scope, View, reach};

/// How long the name of a view may be, in characters.
const MAX_NAME: usize = 100;
/// How large the filter of a view may be, in bytes.
const MAX_FILTER: usize = 16 * 1024;
/// How many columns a view may have.
const MAX_COLUMNS: usize = 100;

/// Every change that can be asked for.
#[derive(Debug, Default)]
pub struct Mutation;

/// An API key that is to be made.
#[derive(InputObject)]
pub(crate) struct CreateApiKeyInput {
    /// The name for people: 1 to 100 characters, none of them NUL.
    name: String,
    /// What it allows: at least one. `PAYLOADS` only together with `READ`.
    scopes: Vec<Scope>,
    /// The names of the only servers whose calls it sends and sees, at most 100. Without any, all; never with `ADMIN`.
    servers: Option<Vec<String>>,
    /// When it ends by itself. Without it, never.
    expires_at: Option<DateTime>,
}

/// A view that is to be saved.
#[derive(InputObject)]
pub(crate) struct ViewInput {
    /// The name for people: 1 to 100 characters, none of them NUL.
    name: String,
    /// The filter: an object of the form of `CallFilter`, at most 16 KiB.
    filter: Json,
    /// The columns to show, in order, by whatever names the client uses for them; at most 100.
    columns: Option<Vec<String>>,
    /// Besides, only calls that began in the last so many seconds, whenever the view is opened: 1 or more. Not together
    /// with `from` and `to` of the filter.
    last_seconds: Option<i32>,
}

/// What became of a key that was to be made.
#[derive(Union)]
pub(crate) enum CreateApiKeyPayload {
    /// It was made.
    Created(ApiKeyCreated),
    /// It cannot be.
    Invalid(InvalidInput),
    /// The caller may not.
    Forbidden(Forbidden),
}

/// A key was made.
#[derive(SimpleObject)]
pub(crate) struct ApiKeyCreated {
    /// The key.
    api_key: ApiKey,
    /// Its secret, to be sent as `Authorization: Bearer …` or `x-api-key`. This is the only time that it is told.
    secret: String,
}

/// What became of a key that was to be revoked.
#[derive(Union)]
pub(crate) enum RevokeApiKeyPayload {
    /// It is revoked.
    Revoked(ApiKeyRevoked),
    /// There is none.
    NotFound(NotFound),
    /// The caller may not.
    Forbidden(Forbidden),
}

/// A key is revoked: whoever uses it is refused, and open connections with it are closed within seconds.
#[derive(SimpleObject)]
pub(crate) struct ApiKeyRevoked {
    /// The key.
    api_key: ApiKey,
}

/// What became of calls that were to be deleted.
#[derive(Union)]
pub(crate) enum DeleteCallsPayload {
    /// They are gone.
    Deleted(CallsDeleted),
    /// The filter cannot be meant.
    Invalid(InvalidInput),
    /// The caller may not.
    Forbidden(Forbidden),
}

/// Calls were deleted, for good.
#[derive(SimpleObject)]
pub(crate) struct CallsDeleted {
    /// How many calls.
    count: i32,
    /// How many of their log lines.
    log_lines: i32,
    /// Copies of them that are left in the database's files, and until when. Null: none.
    remains: Option<&'static str>,
}

/// What became of a view that was to be saved.
#[derive(Union)]
pub(crate) enum SaveViewPayload {
    /// It was saved.
    Saved(ViewSaved),
    /// It cannot be.
    Invalid(InvalidInput),
    /// The caller may not.
    Forbidden(Forbidden),
}

/// What became of a view that was to be changed.
#[derive(Union)]
pub(crate) enum UpdateViewPayload {
    /// It was changed.
    Saved(ViewSaved),
    /// It cannot be.
    Invalid(InvalidInput),
    /// There is none that the caller may change.
    NotFound(NotFound),
    /// The caller may not.
    Forbidden(Forbidden),
}

/// A view was saved.
#[derive(SimpleObject)]
pub(crate) struct ViewSaved {
    /// The view.
    view: View,
}

/// What became of a view that was to be deleted.
#[derive(Union)]
pub(crate) enum DeleteViewPayload {
    /// It is gone.
    Deleted(ViewDeleted),
    /// There is none that the caller may delete.
    NotFound(NotFound),
    /// The caller may not.
    Forbidden(Forbidden),
}

/// A view was deleted.
#[derive(SimpleObject)]
pub(crate) struct ViewDeleted {
    /// The `id` that it had.
    id: ID,
}

/// Everything that can be changed. What needs scope `admin` also works without a key while none exists, where no other
/// machine reaches the API; all of it is in the audit. A mutation that does nothing says why in its payload.
#[Object]
impl Mutation {
    /// Makes an API key. From the first key on nobody comes in without one. Needs scope `admin`.
    #[graphql(complexity = "cost::LOOKUP + child_complexity")]
    async fn create_api_key(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The key to make.")] input: CreateApiKeyInput,
    ) -> Result<CreateApiKeyPayload, Error> {
        let caller = match administrator(ctx)? {
            Ok(caller) => caller,
            Err(forbidden) => return Ok(forbidden.into()),
        };
        let new = NewKey {
            name: input.name,
            scopes: input.scopes.into_iter().map(Into::into).collect(),
            servers: input.servers.unwrap_or_default(),
            expires_at: input.expires_at.map(|end| end.0),
        };
        let new = match new.checked(now()) {
            Ok(new) => new,
            Err(bad) => return Ok(invalid(bad.field(), bad).into()),
        };
        if !caller.keys_exist() && !new.scopes.contains(&mcptap_model::Scope::Admin) {
            let message =
                "the first key needs scope admin, or nobody could make another here (mcptap keys create can)";
            return Ok(invalid("scopes", message).into());
        }
        let (key, secret) = store(ctx)?
            .create_key(new, caller.actor())
            .await
            .map_err(from_store)?;
        Ok(ApiKeyCreated {
            api_key: ApiKey(key),
            secret: secret.reveal().to_owned(),
        }
        .into())
    }

    /// Revokes an API key, for good and at once. Revoking it again changes nothing. Needs scope `admin`.
    #[graphql(complexity = "cost::LOOKUP + child_complexity")]
    async fn revoke_api_key(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The `id` of a key.")] id: ID,
    ) -> Result<RevokeApiKeyPayload, Error> {
        let caller = match administrator(ctx)? {
            Ok(caller) => caller,
            Err(forbidden) => return Ok(forbidden.into()),
        };
        let key = match id.parse() {
            Ok(number) => store(ctx)?
                .revoke_key(number, caller.actor())
                .await
                .map_err(from_store)?,
            Err(_) => None,
        };
        Ok(match key {
            Some(RevokedKey::Readable(key)) => ApiKeyRevoked { api_key: ApiKey(key) }.into(),
            Some(RevokedKey::Damaged(key)) => {
                return Err(Code::Internal.error(format!(
                    "key {} is revoked; its row is damaged: {}",
                    key.id, key.what
                )));
            }
            None => not_found("key", &id).into(),
        })
    }

    /// Deletes calls with all that belongs to them, and leaves nothing of them in the database's files: an erasure. It
    /// goes on when the client does not wait for it. Needs scope `admin`.
    #[graphql(complexity = "cost::SCAN + child_complexity")]
    async fn delete_calls(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which calls. What comes in while they are being deleted stays.")]
        filter: CallFilterInput,
        #[graphql(
            desc = "Must be true where the filter means every call: where it is empty, or says nothing that a call could \
                    fail, as a search without a word.",
            default = false
        )]
        everything: bool,
    ) -> Result<DeleteCallsPayload, Error> {
        let caller = match administrator(ctx)? {
            Ok(caller) => caller,
            Err(forbidden) => return Ok(forbidden.into()),
        };
        let given = read_filter(Some(filter))?;
        if given.means_every_call() && !everything {
            let message = "this filter means every call: say everything: true if that is meant";
            return Ok(invalid("filter", message).into());
        }
        if given.excludes_by_search() && !caller.may(mcptap_model::Scope::Payloads) {
            let message = "this key may not search bodies, so calls that a search in not keeps would be deleted too: use a \
                           key with scope payloads";
            return Ok(invalid("filter", message).into());
        }
        // An administrator who does not read calls may still delete them.
        let filter = caller.access().narrow(given);
        let subject = constraints(&filter);
        let erased = store(ctx)?
            .erase(filter, caller.actor(), subject)
            .await
            .map_err(from_store)?;
        Ok(CallsDeleted {
            count: int(erased.calls),
            log_lines: int(erased.log_lines),
            remains: erased.remains.told(),
        }
        .into())
    }

    /// Saves a view: a filter and columns under a name. At most 200 for each key, and 200 that are everybody's.
    #[graphql(complexity = "cost::LOOKUP + child_complexity")]
    async fn save_view(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The view to save.")] input: ViewInput,
        #[graphql(
            desc = "Whether it is everybody's, which needs scope `admin`. Without keys every view is.",
            default = false
        )]
        shared: bool,
    ) -> Result<SaveViewPayload, Error> {
        let caller = match keeper(ctx)? {
            Ok(caller) => caller,
            Err(forbidden) => return Ok(forbidden.into()),
        };
        if shared && !caller.may(mcptap_model::Scope::Admin) {
            let message = "a view for everybody needs a key with scope admin".to_owned();
            return Ok(Forbidden { message }.into());
        }
        let content = match input.read() {
            Ok(content) => content,
            Err(wrong) => return Ok(wrong.into()),
        };
        let owner = caller.access().key().filter(|_| !shared).map(|key| key.id);
        let saved = store(ctx)?
            .save_view(owner, content, caller.actor())
            .await
            .map_err(from_store)?;
        Ok(match saved {
            Some(view) => ViewSaved { view: View(view) }.into(),
            None => invalid("name", "there are 200 views already: delete one first").into(),
        })
    }

    /// Changes a view of one's own; with scope `admin`, any.
    #[graphql(complexity = "cost::LOOKUP + child_complexity")]
    async fn update_view(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The `id` of a view.")] id: ID,
        #[graphql(desc = "What it is to be from now on.")] input: ViewInput,
    ) -> Result<UpdateViewPayload, Error> {
        let (caller, reach) = match keeper(ctx)? {
            Ok(caller) => (caller, reach(caller)),
            Err(forbidden) => return Ok(forbidden.into()),
        };
        let content = match input.read() {
            Ok(content) => content,
            Err(wrong) => return Ok(wrong.into()),
        };
        let updated = match id.parse() {
            Ok(number) => store(ctx)?
                .update_view(number, content, reach, caller.actor())
                .await
                .map_err(from_store)?,
            Err(_) => None,
        };
        Ok(match updated {
            Some(view) => ViewSaved { view: View(view) }.into(),
            None => not_found("view", &id).into(),
        })
    }

    /// Deletes a view of one's own; with scope `admin`, any.
    #[graphql(complexity = "cost::LOOKUP + child_complexity")]
    async fn delete_view(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The `id` of a view.")] id: ID,
    ) -> Result<DeleteViewPayload, Error> {
        let (caller, reach): (_, Reach) = match keeper(ctx)? {
            Ok(caller) => (caller, reach(caller)),
            Err(forbidden) => return Ok(forbidden.into()),
        };
        let deleted = match id.parse() {
            Ok(number) => store(ctx)?
                .delete_view(number, reach, caller.actor())
                .await
                .map_err(from_store)?,
            Err(_) => false,
        };
        Ok(if deleted {
            ViewDeleted { id }.into()
        } else {
            not_found("view", &id).into()
        })
    }
}

/// Whoever may do what scope `admin` is for.
fn administrator<'a>(ctx: &Context<'a>) -> Result<Result<&'a Caller, Forbidden>, Error> {
    let caller = caller(ctx)?;
    Ok(if caller.may(mcptap_model::Scope::Admin) {
        Ok(caller)
    } else {
        let message = caller.no_admin().to_owned();
        Err(Forbidden { message })
    })
}

/// Whoever may keep views: the holder of any key that reads, and without keys whoever is on this machine.
fn keeper<'a>(ctx: &Context<'a>) -> Result<Result<&'a Caller, Forbidden>, Error> {
    let caller = caller(ctx)?;
    match caller.access().key() {
        Some(_) => Ok(Ok(caller)),
        None => administrator(ctx),
    }
}

/// A filter in the audit: the names of its constraints, never their values. Words that were erased must not live on there.
fn constraints(filter: &CallFilter) -> String {
    let mut parts = Vec::new();
    for (name, given) in [
        ("servers", !filter.servers.is_empty()),
        ("tools", !filter.tools.is_empty()),
        ("methods", !filter.methods.is_empty()),
        ("httpStatuses", !filter.http_statuses.is_empty()),
        ("outcomes", !filter.outcomes.is_empty()),
        ("sessionId", filter.session_id.is_some()),
        ("traceId", filter.trace_id.is_some()),
        ("clientIps", !filter.client_ips.is_empty()),
        ("countries", !filter.countries.is_empty()),
        ("clients", !filter.clients.is_empty()),
        ("minDurationMs", filter.min_duration_ms.is_some()),
        ("maxDurationMs", filter.max_duration_ms.is_some()),
        ("minRunningMs", filter.min_running_ms.is_some()),
        ("late", filter.late.is_some()),
        ("kinds", !filter.kinds.is_empty()),
        ("search", filter.search.is_some()),
        ("not", filter.not.is_some()),
        ("or", !filter.or.is_empty()),
    ] {
        if given {
            parts.push(name.to_owned());
        }
    }
    parts.extend(filter.from.map(|from| format!("from {from}")));
    parts.extend(filter.to.map(|to| format!("to {to}")));
    if parts.is_empty() {
        "no constraint".to_owned()
    } else {
        parts.join(", ")
    }
}

fn invalid(field: &str, message: impl ToString) -> InvalidInput {
    InvalidInput {
        message: message.to_string(),
        field: field.to_owned(),
    }
}

/// Refuses a text with NUL, which PostgreSQL keeps in none.
fn without_nul(field: &str, text: &str) -> Result<(), InvalidInput> {
    if text.contains('\0') {
        return Err(invalid(field, "no text may hold the character NUL (U+0000)"));
    }
    Ok(())
}

fn not_found(what: &str, id: &ID) -> NotFound {
    let id: String = id.chars().take(40).collect();
    NotFound {
        message: format!("there is no {what} {id:?} that you may change"),
    }
}

impl ViewInput {
    fn read(self) -> Result<ViewContent, InvalidInput> {
        let name = self.name.trim().to_owned();
        if name.is_empty() || name.chars().count() > MAX_NAME {
            return Err(invalid("name", format!("a name has 1 to {MAX_NAME} characters")));
        }
        without_nul("name", &name)?;
        let text = self.filter.text();
        if text.len() > MAX_FILTER {
            return Err(invalid(
                "filter",
                format!("a filter has at most {MAX_FILTER} bytes"),
            ));
        }
        let filter = filter_of_json(text).map_err(|wrong| invalid("filter", wrong))?;
        if self.last_seconds.is_some_and(|seconds| seconds < 1) {
            return Err(invalid("lastSeconds", "a view is of the last 1 or more seconds"));
        }
        if self.last_seconds.is_some() && (filter.from.is_some() || filter.to.is_some()) {
            let message = "either the last seconds or from and to of the filter, not both";
            return Err(invalid("lastSeconds", message));
        }
        let columns = self.columns.unwrap_or_default();
        if columns.len() > MAX_COLUMNS || columns.iter().any(|column| column.len() > MAX_NAME) {
            let message = format!("at most {MAX_COLUMNS} columns, each with at most {MAX_NAME} bytes");
            return Err(invalid("columns", message));
        }
        for column in &columns {
            without_nul("columns", column)?;
        }
        Ok(ViewContent {
            name,
            filter: text.to_owned(),
            columns,
            last_seconds: self.last_seconds,
        })
    }
}
