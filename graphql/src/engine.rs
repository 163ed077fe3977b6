//! Requests to answers, whatever way they came: checked, weighed, let in, executed for a bounded time, and given the shape
//! that an answer must have.

use std::future::ready as ready_now;
use std::sync::Arc;

use async_graphql::parser::types::OperationType;
use async_graphql::{Request, Response as Answer, ServerError, Value, value};
use futures_util::StreamExt;
use futures_util::stream::{BoxStream, once};
use mcptap_store::{Asker, Operation};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::access::Caller;
use crate::ask::Ask;
use crate::error::{Code, complete};
use crate::limits::{Introspection, Limits, bound, over};
use crate::resume::Place;
use crate::shape::{Fields, Shape};
use crate::weight::Scales;
use crate::{Schema, document};

/// Answers requests. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Engine {
    schema: Schema,
    scales: Scales,
    fields: Arc<Fields>,
    limits: Arc<Limits>,
    /// A place for each query that may run.
    operations: Arc<Semaphore>,
    /// A place for each subscription that may be open.
    subscriptions: Arc<Semaphore>,
    /// Who asks.
    caller: Option<Caller>,
}

/// A request that may be executed.
pub(crate) struct Ready {
    request: Request,
    kind: Option<OperationType>,
    finish: Finish,
}

impl Ready {
    pub(crate) fn is_subscription(&self) -> bool {
        self.kind == Some(OperationType::Subscription)
    }
}

/// What remains to be done with its answers.
#[derive(Clone)]
struct Finish {
    shape: Shape,
    fields: Arc<Fields>,
    root: &'static str,
    cost: Value,
}

/// How a request came, as far as it decides what may be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Safety {
    /// It may change something.
    Any,
    /// It may not: it came by GET.
    ReadOnly,
}

impl Engine {
    pub(crate) fn new(schema: Schema, limits: Limits) -> Self {
        Self {
            fields: Arc::new(Fields::of(&schema.sdl())),
            schema,
            scales: Scales::new(limits.introspection != Introspection::Off),
            operations: Arc::new(Semaphore::new(limits.max_operations.min(Semaphore::MAX_PERMITS))),
            subscriptions: Arc::new(Semaphore::new(
                limits.max_subscriptions.min(Semaphore::MAX_PERMITS),
            )),
            limits: Arc::new(limits),
            caller: None,
        }
    }

    /// The same for somebody: what is asked through it is asked by them.
    pub(crate) fn on_behalf_of(&self, caller: Caller) -> Self {
        Self {
            caller: Some(caller),
            ..self.clone()
        }
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Reads, checks and weighs a request. The answer to what may not be executed has no data.
    pub(crate) async fn prepare(&self, ask: Ask, safety: Safety) -> Result<Ready, Answer> {
        let ready = self.check(ask, safety).await;
        ready.map_err(|errors| complete(Answer::from_errors(errors)))
    }

    /// Answers once.
    pub(crate) async fn answer(&self, ready: Ready) -> Answer {
        if ready.is_subscription() {
            let message = "a subscription is answered on a WebSocket, or with Accept: text/event-stream";
            return Answer::from_errors(vec![Code::ValidationFailed.refusal(message)]);
        }
        self.run(ready).await
    }

    /// Answers for as long as there are answers: a subscription many times, anything else once. A subscription begins at
    /// `place` where that says so, and keeps it up to date.
    pub(crate) fn answers(&self, ready: Ready, place: Place) -> BoxStream<'static, Answer> {
        if !ready.is_subscription() {
            let engine = self.clone();
            return once(async move { engine.run(ready).await }).boxed();
        }
        let Ok(permit) = Arc::clone(&self.subscriptions).try_acquire_owned() else {
            let limit = ("max_subscriptions", self.limits.max_subscriptions);
            let message = "too many subscriptions are open; try again later";
            let refusal = over(
                Code::TooManySubscriptions,
                limit,
                limit.1.saturating_add(1),
                message,
            );
            return once(ready_now(Answer::from_errors(vec![refusal]))).boxed();
        };
        let Ready {
            request, mut finish, ..
        } = ready;
        let answers = self.schema.execute_stream(request.data(place));
        answers
            .map(move |answer| {
                let _held: &OwnedSemaphorePermit = &permit;
                let answer = finish.finish(end_of_source(complete(answer)));
                // Said once: it does not change.
                finish.cost = Value::Null;
                answer
            })
            .boxed()
    }

    async fn run(&self, Ready { request, finish, .. }: Ready) -> Answer {
        let Ok(place) = timeout(self.limits.timeout, self.operations.acquire()).await else {
            let limit = ("max_operations", self.limits.max_operations);
            let message = "too many queries are running; try again later";
            let refusal = over(Code::TooManyOperations, limit, limit.1.saturating_add(1), message);
            return Answer::from_errors(vec![refusal]);
        };
        let answer = timeout(
            self.limits.timeout,
            Operation::new(Asker::default(), self.limits.timeout).run(self.schema.execute(request)),
        )
        .await;
        drop(place);
        match answer {
            Ok(answer) => finish.finish(complete(answer)),
            Err(_) => {
                let seconds = usize::try_from(self.limits.timeout.as_secs()).unwrap_or(usize::MAX);
                let message = "the query took too long, in seconds; ask for less, such as a shorter time";
                let refusal = over(Code::TimedOut, ("timeout", seconds), seconds, message);
                Answer::from_errors(vec![refusal])
            }
        }
    }

    async fn check(&self, ask: Ask, safety: Safety) -> Result<Ready, Vec<ServerError>> {
        let limits = &*self.limits;
        let mut request = ask.request(limits).map_err(|refusal| vec![refusal])?;
        let known = self.caller.as_ref().is_some_and(Caller::gave_a_key);
        let checked = document::check(&request, limits, known).map_err(|refusal| vec![refusal])?;
        if checked.kind == Some(OperationType::Mutation) && safety == Safety::ReadOnly {
            return Err(vec![Code::MethodNotAllowed.refusal("a mutation is sent by POST")]);
        }
        let cost = self
            .scales
            .weigh(
                &checked.document,
                request.operation_name.as_deref(),
                &request.variables,
            )
            .await?;
        let limit = ("max_complexity", limits.max_complexity);
        bound(Code::TooComplex, limit, cost, "the cost of the operation is")
            .map_err(|refusal| vec![refusal])?;
        request.set_parsed_query(checked.document);
        if let Some(caller) = &self.caller {
            request = request.data(caller.clone());
        }
        Ok(Ready {
            request,
            kind: checked.kind,
            finish: Finish {
                shape: checked.shape,
                fields: Arc::clone(&self.fields),
                root: match checked.kind {
                    Some(OperationType::Mutation) => "Mutation",
                    Some(OperationType::Subscription) => "Subscription",
                    Some(OperationType::Query) | None => "Query",
                },
                cost: value!({
                    "complexity": cost as u64,
                    "maxComplexity": limits.max_complexity as u64,
                    "depth": checked.depth as u64,
                    "maxDepth": limits.max_depth as u64,
                }),
            },
        })
    }
}

impl Finish {
    fn finish(&self, mut response: Answer) -> Answer {
        if refused(&response) {
            return response;
        }
        self.shape.mend(&self.fields, self.root, &mut response);
        if self.cost != Value::Null {
            response.extensions.insert("cost".to_owned(), self.cost.clone());
        }
        response
    }
}

/// Whether a response says that nothing was executed: then it has no data, not even null.
pub(crate) fn refused(response: &Answer) -> bool {
    response.data == Value::Null
        && !response.errors.is_empty()
        && response.errors.iter().all(|error| error.path.is_empty())
}

/// The failure of a subscription's source is no event with an error in it: nothing follows, and clients must be told
/// so. Only such a failure has the subscription's own field, and no field within it, for a path.
fn end_of_source(mut response: Answer) -> Answer {
    if response.data == Value::Null && response.errors.iter().all(|error| error.path.len() <= 1) {
        response.errors.iter_mut().for_each(|error| error.path.clear());
    }
    response
}
