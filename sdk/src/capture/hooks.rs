//! Functions of the application over what is recorded. One that panics costs a record, and never a request.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mcptap_model::redact::REDACTED;
use mcptap_model::semconv;
use opentelemetry::{KeyValue, Value};

use super::Capture;
use crate::telemetry::warn;

/// A function over a text.
type OverText = dyn Fn(&str) -> Option<String> + Send + Sync;
/// A function over a request.
type OverRequest = dyn Fn(&CallParts<'_>) -> Vec<KeyValue> + Send + Sync;

/// The functions that an application gave.
#[derive(Clone, Default)]
pub(crate) struct Hooks {
    redact: Option<Arc<OverText>>,
    tag: Option<Arc<OverRequest>>,
}

impl fmt::Debug for Hooks {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Hooks")
            .field("redact", &self.redact.is_some())
            .field("tag", &self.tag.is_some())
            .finish()
    }
}

impl Hooks {
    /// Whether texts are given to the application.
    pub(crate) fn redacts(&self) -> bool {
        self.redact.is_some()
    }

    /// Gives a text to the application. Returns whether it is another one now.
    pub(crate) fn redact(&self, text: &mut String) -> bool {
        let Some(redact) = &self.redact else { return false };
        let new = catch_unwind(AssertUnwindSafe(|| redact(text))).unwrap_or_else(|_| {
            warn_once(&REDACTION_PANICKED, "redact_with", "the text is not recorded");
            Some(REDACTED.to_owned())
        });
        let Some(new) = new.filter(|new| new != text) else {
            return false;
        };
        *text = new;
        true
    }

    /// The attributes that the application gives to a request.
    pub(crate) fn tags(&self, parts: &CallParts<'_>) -> Vec<KeyValue> {
        let Some(tag) = &self.tag else { return Vec::new() };
        catch_unwind(AssertUnwindSafe(|| tag(parts))).unwrap_or_else(|_| {
            warn_once(&TAGS_PANICKED, "tag_with", "the call has none of its attributes");
            Vec::new()
        })
    }
}

static REDACTION_PANICKED: AtomicBool = AtomicBool::new(false);
static TAGS_PANICKED: AtomicBool = AtomicBool::new(false);

/// Once a process: the warning may be a record itself, and be given to the function again.
fn warn_once(is_said: &AtomicBool, function: &str, instead: &str) {
    if !is_said.swap(true, Ordering::Relaxed) {
        warn(format_args!(
            "the function given to Capture::{function} panicked: {instead}, and neither if it panics again"
        ));
    }
}

/// A request that was just received, for [`Capture::tag_with`].
#[derive(Clone, Copy, Debug)]
pub struct CallParts<'a> {
    pub(crate) attributes: &'a [KeyValue],
    pub(crate) meta: Option<&'a serde_json::Value>,
}

impl<'a> CallParts<'a> {
    /// The method, `tools/call` for example.
    pub fn method(&self) -> &'a str {
        self.text(semconv::MCP_METHOD_NAME).unwrap_or_default()
    }

    /// The tool that is called, if one is.
    pub fn tool(&self) -> Option<&'a str> {
        self.text(semconv::GEN_AI_TOOL_NAME)
    }

    /// An attribute that the call has already, by its name: `mcp.client.name`, `mcp.session.id`, `mcp.resource.uri`,
    /// `client.address` or `http.request.header.x-forwarded-for` for example, of those headers that are kept at all.
    pub fn get(&self, name: &str) -> Option<&'a Value> {
        let mut attributes = self.attributes.iter();
        let found = attributes.find(|known| known.key.as_str() == name)?;
        Some(&found.value)
    }

    /// `params._meta`, as the client sent it; none where it is longer than 64 KiB.
    pub fn meta(&self) -> Option<&'a serde_json::Value> {
        self.meta
    }

    fn text(&self, name: &str) -> Option<&'a str> {
        match self.get(name)? {
            Value::String(text) => Some(text.as_str()),
            _ => None,
        }
    }
}

impl Capture {
    /// Gives each text that is recorded to this function, after the secrets known here were cut out of it: values of attributes,
    /// bodies as JSON text, errors, log lines, names of spans. `None` leaves a text as it is. Numbers are not given to it.
    ///
    /// It runs on any thread, may be given the same text more than once and what it made itself, and is to be quick: where the
    /// application's own provider takes the records it runs before the answer is sent. If it panics, the text is replaced by
    /// `[redacted]`. Of several the last holds.
    ///
    /// ```
    /// # use mcptap_sdk::Capture;
    /// let capture = Capture::full().redact_with(|text| {
    ///     text.contains("ACME-").then(|| text.replace("ACME-", "[customer]-"))
    /// });
    /// ```
    #[must_use]
    pub fn redact_with(mut self, function: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> Self {
        self.hooks.redact = Some(Arc::new(function));
        self
    }

    /// Adds what this function returns to the attributes of each request that is recorded, before it is handled; secrets are cut
    /// out of them as out of everything else. Who calls is the attribute `enduser.id`; see also
    /// [`Call::set`](crate::Call::set), for what a tool knows.
    ///
    /// It runs where the request is received, and is to be quick. If it panics, there are none of its attributes. Of several the
    /// last holds.
    ///
    /// ```
    /// # use mcptap_sdk::{Capture, opentelemetry::KeyValue};
    /// let capture = Capture::full().tag_with(|call| {
    ///     let tenant = call.meta().and_then(|meta| meta["shop.test/tenant"].as_str());
    ///     tenant.map(|tenant| KeyValue::new("tenant", tenant.to_owned())).into_iter().collect()
    /// });
    /// ```
    #[must_use]
    pub fn tag_with(
        mut self,
        function: impl Fn(&CallParts<'_>) -> Vec<KeyValue> + Send + Sync + 'static,
    ) -> Self {
        self.hooks.tag = Some(Arc::new(function));
        self
    }
}
