//! Requests to answers, whatever way they came: checked, weighed, let in, executed for a bounded time, and given the shape
//! that an answer must have.

use std::future::ready as ready_now;
use std::net::IpAddr;
use std::num::NonZero;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use async_graphql::parser::types::OperationType;
use async_graphql::{Request, Response, ServerError, Value, value};
use futures_util::StreamExt;
use futures_util::stream::{BoxStream, once, poll_fn};
use mcptap_store::{Asker, CpuError, CpuPool, MemoryBudget, Operation, Reservation, Store};
use tokio::time::timeout_at;

use crate::access::Caller;
use crate::answer::{Answer, Resources};
use crate::ask::Ask;
use crate::cost::{Allowance, exhausted};
use crate::document::{self, Checked};
use crate::error::{Code, complete, is_of_damage};
use crate::limits::{Introspection, Limits, bound, over};
use crate::loaders::Loaders;
use crate::permits::{Full, Permit, Permits};
use crate::resume::Place;
use crate::shape::{Fields, Shape};
use crate::weight::Scales;
use crate::{Receivers, Schema};

/// Answers requests. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Engine {
    schema: Schema,
    scales: Scales,
    fields: Arc<Fields>,
    limits: Arc<Limits>,
    /// Where requests are parsed, validated and weighed.
    readers: CpuPool,
    /// A permit for each query that may run.
    operations: Arc<Permits>,
    /// A permit for each subscription that may be open.
    subscriptions: Arc<Permits>,
    /// Where OTLP is received, if the API tells it.
    receivers: Option<Receivers>,
    /// The caller, from the moment when it is known.
    caller: Option<Caller>,
    /// The address whose shares are taken where nobody gave a key.
    peer: Option<IpAddr>,
}

/// A request that may be executed.
pub(crate) struct Ready {
    request: Request,
    kind: Option<OperationType>,
    finish: Finish,
    /// Room for what was asked, for as long as it is answered.
    held: Reservation,
}

/// How many bytes a request holds while it is answered, for each byte that came: parsed it is larger, and a subscription's
/// filter is kept by those who compare calls with it.
const HELD: usize = 8;

impl Ready {
    pub(crate) fn is_subscription(&self) -> bool {
        self.kind == Some(OperationType::Subscription)
    }
}

/// The work that remains to be done on its answers.
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

/// Reads a request, and weighs it: the request, its document, and its cost.
fn weighed(
    ask: Ask,
    safety: Safety,
    known: bool,
    limits: &Limits,
    scales: &Scales,
) -> Result<(Request, Checked, usize), Vec<ServerError>> {
    let request = ask.request(limits).map_err(|refusal| vec![refusal])?;
    let checked = document::check(&request, limits, known).map_err(|refusal| vec![refusal])?;
    if checked.kind == Some(OperationType::Mutation) && safety == Safety::ReadOnly {
        return Err(vec![Code::MethodNotAllowed.refusal("a mutation is sent by POST")]);
    }
    let cost = scales.weigh(
        &checked.document,
        request.operation_name.as_deref(),
        &request.variables,
    )?;
    let limit = ("max_complexity", limits.max_complexity);
    bound(Code::TooComplex, limit, cost, "the cost of the operation is").map_err(|refusal| vec![refusal])?;
    Ok((request, checked, cost))
}

/// A request that was not read.
fn unread(error: CpuError) -> ServerError {
    match error {
        CpuError::Full => {
            Code::TooManyOperations.refusal("too many requests wait to be read; try again later")
        }
        CpuError::Panicked => Code::Internal.refusal("the request could not be read; the log says why"),
    }
}

impl Engine {
    pub(crate) fn new(schema: Schema, limits: Limits) -> Self {
        Self {
            fields: Arc::new(Fields::of(&schema.sdl())),
            schema,
            scales: Scales::new(limits.introspection != Introspection::Off),
            readers: CpuPool::new(
                std::thread::available_parallelism().map_or(1, NonZero::get),
                limits.max_operations.saturating_mul(4),
            ),
            operations: Arc::new(Permits::new(limits.max_operations)),
            subscriptions: Arc::new(Permits::new(limits.max_subscriptions)),
            limits: Arc::new(limits),
            receivers: None,
            caller: None,
            peer: None,
        }
    }

    /// The same that says where OTLP is received.
    pub(crate) fn telling(self, receivers: Option<Receivers>) -> Self {
        Self { receivers, ..self }
    }

    /// The same for somebody at this address.
    pub(crate) fn at(&self, peer: Option<IpAddr>) -> Self {
        Self { peer, ..self.clone() }
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
        ready.map_err(|errors| complete(Response::from_errors(errors)).into())
    }

    /// Answers once.
    pub(crate) async fn answer(&self, ready: Ready) -> Answer {
        if ready.is_subscription() {
            let message = "a subscription is answered on a WebSocket, or with Accept: text/event-stream";
            return refusal(Code::ValidationFailed.refusal(message));
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
        let permit = match self.subscriptions.try_take(&self.asker()) {
            Ok(permit) => permit,
            Err(full) => {
                let (max, message) = match full {
                    Full::Share(max) => (max, "too many subscriptions of yours are open; end one first"),
                    Full::All(max) => (max, "too many subscriptions are open; try again later"),
                };
                let refusal = no_permit(Code::TooManySubscriptions, ("max_subscriptions", max), message);
                return once(ready_now(refusal)).boxed();
            }
        };
        let Ready {
            request,
            mut finish,
            held,
            ..
        } = ready;
        // As long as it likes; each of its reads has the time of one.
        let operation = Operation::new(self.asker(), Duration::MAX);
        let (request, parts) = match self.equipped(request, &operation, permit) {
            Ok(equipped) => equipped,
            Err(refusal) => return once(ready_now(self::refusal(refusal))).boxed(),
        };
        let mut answers = self.schema.execute_stream(request.data(place));
        let (polled, allowance) = (operation.clone(), Arc::clone(&parts.allowance));
        let mut failed = false;
        let answers = poll_fn(move |context| {
            if failed {
                return Poll::Ready(None);
            }
            let answer = polled.enter(|| answers.poll_next_unpin(context));
            // An answer that fails as a whole never ends by itself.
            match answer.is_pending().then(|| allowance.verdict()).flatten() {
                Some(verdict) => {
                    failed = true;
                    Poll::Ready(Some(Response::from_errors(vec![verdict])))
                }
                None => answer,
            }
        });
        let ends = operation.abandoned_on_drop();
        let engine = self.clone();
        answers
            .map(move |response| {
                engine.note_damage(&response);
                let _ends = (&ends, &held);
                // The answer before has been taken: this one counts for itself.
                let (allowance, resources) = (Arc::clone(&parts.allowance), parts.resources.clone());
                let response = finish.finish(end_of_source(complete(response)));
                // Said once: it does not change.
                finish.cost = Value::Null;
                Answer::event(response, allowance, resources)
            })
            .boxed()
    }

    /// The process's budget of bytes.
    pub(crate) fn memory(&self) -> Result<&MemoryBudget, ServerError> {
        Ok(self.store()?.memory())
    }

    fn store(&self) -> Result<&Store, ServerError> {
        let missing = || Code::Internal.refusal("the schema has no store");
        self.schema.data::<Store>().ok_or_else(missing)
    }

    /// The store is not ready any more when a read came upon damage.
    fn note_damage(&self, response: &Response) {
        if is_of_damage(response)
            && let Ok(store) = self.store()
        {
            store.damage_found();
        }
    }

    /// A request with what its resolvers take: loaders, and an allowance.
    fn equipped(
        &self,
        request: Request,
        operation: &Operation,
        permit: Permit,
    ) -> Result<(Request, Equipment), ServerError> {
        let store = self.store()?;
        let resources = Resources::of(store);
        let allowance = Arc::new(Allowance::new(&resources.memory));
        let permit = Arc::new(permit);
        let loaders = Loaders::new(
            store.clone(),
            Arc::clone(&allowance),
            operation.clone(),
            Arc::clone(&permit),
        );
        let request = request.data(loaders).data(Arc::clone(&allowance));
        Ok((
            request,
            Equipment {
                allowance,
                resources,
                _permit: permit,
            },
        ))
    }

    /// The owner of the shares that are taken: of the permits here, and of the readers.
    fn asker(&self) -> Asker {
        let key = self.caller.as_ref().and_then(|caller| caller.access().key());
        key.map_or(Asker::Peer(self.peer), |key| Asker::Key(key.id))
    }

    async fn run(&self, ready: Ready) -> Answer {
        let Ready {
            request,
            finish,
            held: _held,
            ..
        } = ready;
        let asker = self.asker();
        let operation = Operation::new(asker.clone(), self.limits.timeout);
        let deadline = operation.deadline();
        let permit = match self.operations.take(&asker, deadline).await {
            Ok(permit) => permit,
            Err(full) => {
                let (max, message) = match full {
                    Full::Share(max) => (max, "too many queries of yours are running; send fewer at once"),
                    Full::All(max) => (max, "too many queries are running; try again later"),
                };
                return no_permit(Code::TooManyOperations, ("max_operations", max), message);
            }
        };
        // Loads that have begun keep the permit until they have ended.
        let (request, parts) = match self.equipped(request, &operation, permit) {
            Ok(equipped) => equipped,
            Err(refused) => return refusal(refused),
        };
        let mut execution = pin!(operation.run(self.schema.execute(request)));
        let execution = std::future::poll_fn(|context| {
            let answer = execution.as_mut().poll(context);
            // An answer that fails as a whole never ends by itself.
            match answer.is_pending().then(|| parts.allowance.verdict()).flatten() {
                Some(verdict) => Poll::Ready(Response::from_errors(vec![verdict])),
                None => answer,
            }
        });
        let answer = timeout_at(deadline.into(), execution).await;
        match answer {
            Ok(response) => {
                self.note_damage(&response);
                Answer::new(
                    finish.finish(complete(response)),
                    parts.allowance,
                    parts.resources,
                )
            }
            Err(_) => {
                let seconds = self.limits.timeout.as_secs_f64();
                refusal(Code::TimedOut.refusal(format!(
                    "the query ran for {seconds} s, which is the limit (timeout); ask for less, such as a shorter time, or \
                     try again later"
                )))
            }
        }
    }

    async fn check(&self, ask: Ask, safety: Safety) -> Result<Ready, Vec<ServerError>> {
        let memory = self.memory().map_err(|refusal| vec![refusal])?;
        let held = memory.try_reserve(ask.bytes().saturating_mul(HELD));
        let held = held.map_err(|refused| vec![exhausted(refused).into_server_error(Default::default())])?;
        let known = self.caller.as_ref().is_some_and(Caller::gave_a_key);
        let (limits, scales) = (Arc::clone(&self.limits), self.scales.clone());
        // A document of the size that is allowed keeps a core busy for a while.
        let reading = self
            .readers
            .run(move |_| weighed(ask, safety, known, &limits, &scales));
        let (mut request, checked, cost) = reading.await.map_err(|error| vec![unread(error)])??;
        let limits = &*self.limits;
        request.set_parsed_query(checked.document);
        if let Some(caller) = &self.caller {
            request = request.data(caller.clone());
        }
        if let Some(receivers) = self.receivers {
            request = request.data(receivers);
        }
        Ok(Ready {
            request,
            held,
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

/// Everything that the execution of an operation needs.
struct Equipment {
    allowance: Arc<Allowance>,
    resources: Resources,
    /// Kept while it is executed.
    _permit: Arc<Permit>,
}

fn refusal(refusal: ServerError) -> Answer {
    Response::from_errors(vec![refusal]).into()
}

/// The refusal where all permits are taken, of which the setting allows so many.
fn no_permit(code: Code, limit: (&str, usize), message: &str) -> Answer {
    refusal(over(code, limit, limit.1.saturating_add(1), message))
}

impl Finish {
    fn finish(&self, mut response: Response) -> Response {
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
pub(crate) fn refused(response: &Response) -> bool {
    response.data == Value::Null
        && !response.errors.is_empty()
        && response.errors.iter().all(|error| error.path.is_empty())
}

/// The failure of a subscription's source is no event with an error in it: nothing follows, and clients must be told
/// so. Only such a failure has the subscription's own field, and no field within it, for a path.
fn end_of_source(mut response: Response) -> Response {
    if response.data == Value::Null && response.errors.iter().all(|error| error.path.len() <= 1) {
        response.errors.iter_mut().for_each(|error| error.path.clear());
    }
    response
}
