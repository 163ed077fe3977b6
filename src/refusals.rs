//! Lines of the log for exports that are refused: who sent them, and why. The sender's own log has the answer too, but an
//! operator may not see that. A sender that is set up wrongly sends on for ever, so the same refusal of the same address is
//! told at once and then counted, and the count is told once a minute.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::body::{Body, HttpBody};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::Response;
use mcptap_collector::Refused;
use mcptap_model::redact::Redactor;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};

use crate::printable::printable;
use crate::signposts::{self, Ports};

/// For how long the same refusal is counted before it is told again.
const PAUSE: Duration = Duration::from_secs(60);

/// How often counts are looked at.
const LOOK: Duration = Duration::from_secs(10);

/// How many different refusals are told apart at the same time; others are counted together.
const MOST: usize = 64;

/// As much of a reason as stands in a line, in characters.
const SHOWN: usize = 300;

/// The longest answer that is read for its reason, in bytes.
const READ: u64 = 4096;

/// A port at which exports arrive, and what its refusals are told by.
#[derive(Clone, Debug)]
pub(crate) struct Watch {
    port: &'static str,
    redactor: Arc<Redactor>,
    tally: Arc<Mutex<Tally>>,
}

/// Refusals that say the same of the same sender.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Refusal {
    peer: Option<IpAddr>,
    port: &'static str,
    reason: String,
}

/// Those that were told of late, each with how many came since, and how many were not told apart.
#[derive(Debug, Default)]
struct Tally {
    told: HashMap<Refusal, Since>,
    others: u64,
}

#[derive(Debug)]
struct Since {
    at: Instant,
    more: u64,
}

impl Tally {
    /// Counts a refusal. Whether it is to be told now.
    fn note(&mut self, refusal: &Refusal, now: Instant) -> bool {
        if let Some(since) = self.told.get_mut(refusal) {
            since.more += 1;
            return false;
        }
        if self.told.len() >= MOST {
            self.others += 1;
            return false;
        }
        self.told.insert(refusal.clone(), Since { at: now, more: 0 });
        true
    }

    /// What is to be told of those that were counted for long enough, and how many others there were. Of what did not come
    /// again the next is told at once.
    fn take(&mut self, now: Instant) -> (Vec<(Refusal, u64)>, u64) {
        let mut counted = Vec::new();
        self.told.retain(|refusal, since| {
            if now.duration_since(since.at) < PAUSE {
                return true;
            }
            let more = std::mem::take(&mut since.more);
            since.at = now;
            if more > 0 {
                counted.push((refusal.clone(), more));
            }
            more > 0
        });
        (counted, std::mem::take(&mut self.others))
    }
}

impl Watch {
    /// Tells counts until `stop`, and what is left then. `port` is its name for people.
    pub(crate) fn start(port: &'static str, redactor: &Redactor, stop: CancellationToken) -> Self {
        let tally = Arc::new(Mutex::new(Tally::default()));
        let counts = Arc::clone(&tally);
        tokio::spawn(async move {
            while tokio::time::timeout(LOOK, stop.cancelled()).await.is_err() {
                tell_counts(&counts, Instant::now());
            }
            tell_counts(&counts, Instant::now() + PAUSE);
        });
        Self {
            port,
            redactor: Arc::new(redactor.clone()),
            tally,
        }
    }

    /// The same at another port, told with the same bounds.
    pub(crate) fn at(&self, port: &'static str) -> Self {
        Self { port, ..self.clone() }
    }

    /// Tells of an answer that is a refusal.
    async fn look(&self, peer: Option<SocketAddr>, answer: Response) -> Response {
        let (answer, reason) = reason_of(answer).await;
        if let Some(reason) = reason {
            self.tell(peer, reason);
        }
        answer
    }

    /// Tells of a refusal.
    pub(crate) fn tell(&self, peer: Option<SocketAddr>, mut reason: String) {
        self.redactor.redact_in_place(&mut reason);
        let mut shown: String = reason.trim().chars().take(SHOWN).collect();
        if shown.len() < reason.trim().len() {
            shown.push('…');
        }
        let refusal = Refusal {
            peer: peer.map(|peer| peer.ip()),
            port: self.port,
            // In a log nothing of a sender begins a line.
            reason: printable(&shown),
        };
        let is_new = locked(&self.tally).note(&refusal, Instant::now());
        if is_new {
            let Refusal { port, reason, .. } = refusal;
            tracing::warn!("refused an export from {} at {port}: {reason}", name_of(peer));
        }
    }
}

fn name_of(peer: Option<impl ToString>) -> String {
    peer.map_or_else(|| "an unknown address".to_owned(), |peer| peer.to_string())
}

fn tell_counts(tally: &Mutex<Tally>, now: Instant) {
    let (counted, others) = locked(tally).take(now);
    for (Refusal { peer, port, reason }, more) in counted {
        tracing::warn!(
            "refused {more} more exports from {} at {port}: {reason}",
            name_of(peer)
        );
    }
    if others > 0 {
        tracing::warn!("refused {others} more exports for other reasons or from other addresses");
    }
}

fn locked(tally: &Mutex<Tally>) -> std::sync::MutexGuard<'_, Tally> {
    // Counts have no state that a panic could leave half done.
    tally.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Tells of each answer of a port of OTLP that is a refusal.
pub(crate) async fn tell(State(watch): State<Watch>, request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<SocketAddr>().copied();
    let answer = next.run(request).await;
    watch.look(peer, answer).await
}

/// The same of exports that come to the port of the API, where there is nothing for them.
pub(crate) async fn at_the_api(watch: Watch, ports: Ports, request: Request) -> Response {
    let peer = request.extensions().get::<SocketAddr>().copied();
    let is_export = signposts::is_export(&request);
    let answer = signposts::at_the_api(ports, request).await;
    match is_export {
        true => watch.look(peer, answer).await,
        false => answer,
    }
}

/// The reason of an answer that is a refusal, and the answer as it was.
async fn reason_of(answer: Response) -> (Response, Option<String>) {
    let grpc = Status::from_header_map(answer.headers()).filter(|status| status.code() != Code::Ok);
    if let Some(status) = grpc {
        let reason = format!("{:?}: {}", status.code(), status.message());
        return (answer, Some(reason));
    }
    let status = answer.status();
    if !(status.is_client_error() || status.is_server_error()) {
        return (answer, None);
    }
    if let Some(Refused(reason)) = answer.extensions().get() {
        let reason = format!("{}: {reason}", status.as_u16());
        return (answer, Some(reason));
    }
    let (head, body) = answer.into_parts();
    let (body, text) = read(body).await;
    let reason = match text.trim() {
        "" => name(status),
        text => format!("{}: {text}", status.as_u16()),
    };
    (Response::from_parts(head, body), Some(reason))
}

fn name(status: StatusCode) -> String {
    let words = status.canonical_reason().unwrap_or("refused");
    format!("{}: {words}", status.as_u16())
}

/// The text of a body that is as good as there, and the body.
async fn read(body: Body) -> (Body, String) {
    if body.size_hint().exact().is_none_or(|size| size > READ) {
        return (body, String::new());
    }
    match axum::body::to_bytes(body, usize::MAX).await {
        Ok(bytes) => {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            (Body::from(bytes), text)
        }
        Err(_) => (Body::empty(), String::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(number: usize) -> Refusal {
        Refusal {
            peer: None,
            port: "OTLP/HTTP",
            reason: number.to_string(),
        }
    }

    #[test]
    fn the_same_refusal_is_told_at_once_and_then_counted() {
        let mut tally = Tally::default();
        let start = Instant::now();
        let after = |seconds: u64| start + Duration::from_secs(seconds);
        let seen: Vec<bool> = (0..4)
            .map(|second| tally.note(&refusal(1), after(second)))
            .collect();
        assert_eq!(seen, [true, false, false, false]);
        assert_eq!(tally.take(after(59)), (vec![], 0));
        assert_eq!(tally.take(after(60)), (vec![(refusal(1), 3)], 0));
        // It goes on being counted while it comes, and is news again after a minute without it.
        assert!(!tally.note(&refusal(1), after(61)));
        assert_eq!(tally.take(after(120)), (vec![(refusal(1), 1)], 0));
        assert_eq!(tally.take(after(180)), (vec![], 0));
        assert!(tally.note(&refusal(1), after(181)));
    }

    #[test]
    fn whoever_sends_ever_other_mistakes_fills_neither_memory_nor_log() {
        let mut tally = Tally::default();
        let start = Instant::now();
        let told = (0..1000)
            .filter(|number| tally.note(&refusal(*number), start))
            .count();
        assert_eq!((told, tally.told.len()), (MOST, MOST));
        assert_eq!(tally.take(start), (vec![], 1000 - MOST as u64));
        assert_eq!(tally.take(start + PAUSE), (vec![], 0));
        assert!(tally.told.is_empty());
    }
}
