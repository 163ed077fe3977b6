//! Answers are compressed for clients that can read it: lists of calls and their bodies shrink to a third and less.
//!
//! Tags of pages are weak, so they hold in any coding. An answer is whole in memory when it comes here, so
//! it is compressed at once, a large one on the threads for such work.
//! Streams of events are left alone, because each event must go out when it happens. Compression is a favour: where no
//! memory or no thread is free for it, the answer goes out as it is.

use std::io::{self, Write};

use axum::body::{Body, HttpBody};
use axum::extract::{Request, State};
use axum::http::header::{
    ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue, VARY,
};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::stream::iter;
use http_body_util::BodyExt;
use mcptap_store::{CpuPool, MemoryBudget, Reservation, Store};

/// Smaller answers fit into one packet as they are.
const LEAST: usize = 1_024;
/// Larger answers are not compressed on an async worker: this many bytes take about a tenth of a millisecond.
const LONG: usize = 16 * 1_024;
/// About how much an encoder needs besides its output.
const WORKSPACE: usize = 1 << 20;
/// The fastest that zstd has at its usual ratio, and the fastest of gzip: answers are compressed once and read once.
const ZSTD_LEVEL: i32 = 1;

/// The memory and the threads that compression takes.
#[derive(Clone, Debug)]
pub(crate) struct Compressor {
    memory: MemoryBudget,
    cpu: CpuPool,
}

/// A way to write an answer that clients can ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coding {
    Zstd,
    Gzip,
}

/// A compressed answer, which holds its room until it is sent.
struct Packed {
    bytes: Vec<u8>,
    _held: Option<Reservation>,
}

/// Compresses what comes from behind, where the client can read it and it is worth it.
pub(crate) async fn answers(State(compressor): State<Compressor>, request: Request, next: Next) -> Response {
    let coding = Coding::of(request.headers());
    let head = request.method() == Method::HEAD;
    let mut response = next.run(request).await;
    if head || !is_text(response.headers()) || response.headers().contains_key(CONTENT_ENCODING) {
        return response;
    }
    response
        .headers_mut()
        .append(VARY, HeaderValue::from_static("accept-encoding"));
    let Some(coding) = coding.filter(|_| is_large(response.body())) else {
        return response;
    };
    let (mut head, body) = response.into_parts();
    let Ok(parts) = parts_of(body).await else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let body = match compressor.pack(coding, &parts).await {
        Some(packed) => {
            head.headers.remove(CONTENT_LENGTH);
            head.headers.insert(CONTENT_ENCODING, coding.name());
            Body::from(Bytes::from_owner(packed))
        }
        None => whole(parts),
    };
    Response::from_parts(head, body)
}

impl Compressor {
    /// With what the process has.
    pub(crate) fn of(store: &Store) -> Self {
        Self {
            memory: store.memory().clone(),
            cpu: store.cpu().clone(),
        }
    }

    /// `None` where it does not become smaller, or there is no room or no thread for it.
    async fn pack(&self, coding: Coding, parts: &[Bytes]) -> Option<Packed> {
        let size = parts.iter().map(Bytes::len).sum::<usize>();
        if size <= LONG {
            let bytes = coding.pack(parts, size).ok()?;
            return Some(Packed { bytes, _held: None });
        }
        let held = self.memory.try_reserve(size.saturating_add(WORKSPACE)).ok()?;
        let parts = parts.to_vec();
        // The room goes with the work: that goes on where nobody waits for it any more.
        let packing = self.cpu.run(move |_| (coding.pack(&parts, size), held));
        let (packed, mut held) = packing.await.ok()?;
        let bytes = packed.ok()?;
        held.shrink_to(bytes.capacity());
        Some(Packed {
            bytes,
            _held: Some(held),
        })
    }
}

impl AsRef<[u8]> for Packed {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Coding {
    /// The best that a client accepts, by its own weights. `None`: it wants answers as they are.
    fn of(headers: &HeaderMap) -> Option<Self> {
        let weights = Weights::of(headers);
        let plain = weights.named("identity").unwrap_or(0);
        // The later of equals is taken.
        let best = [Self::Gzip, Self::Zstd]
            .map(|coding| (weights.weight(coding.name().as_bytes()), coding))
            .into_iter()
            .max_by_key(|(weight, _)| *weight);
        best.filter(|(weight, _)| *weight > 0 && *weight >= plain)
            .map(|(_, coding)| coding)
    }

    fn name(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
        })
    }

    /// Fails where the result is not smaller.
    fn pack(self, parts: &[Bytes], size: usize) -> io::Result<Vec<u8>> {
        let room = Room(Vec::with_capacity(size));
        let Room(mut packed) = match self {
            Self::Gzip => {
                let mut encoder = GzEncoder::new(room, Compression::fast());
                parts.iter().try_for_each(|part| encoder.write_all(part))?;
                encoder.finish()?
            }
            Self::Zstd => {
                let mut encoder = zstd::stream::write::Encoder::new(room, ZSTD_LEVEL)?;
                encoder.set_pledged_src_size(Some(size as u64))?;
                parts.iter().try_for_each(|part| encoder.write_all(part))?;
                encoder.finish()?
            }
        };
        packed.shrink_to_fit();
        Ok(packed)
    }
}

/// Takes as much as it has room for: the capacity that it began with.
struct Room(Vec<u8>);

impl Write for Room {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() >= self.0.capacity() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The codings of `Accept-Encoding`, each with its weight in thousandths.
struct Weights(Vec<(String, u16)>);

impl Weights {
    fn of(headers: &HeaderMap) -> Self {
        let lines = headers.get_all(ACCEPT_ENCODING).into_iter();
        let items = lines
            .filter_map(|line| line.to_str().ok())
            .flat_map(|line| line.split(','));
        let weighed = items.map(|item| {
            let mut parts = item.split(';').map(str::trim);
            let name = parts.next().unwrap_or_default().to_ascii_lowercase();
            let weight = parts.find_map(|part| part.strip_prefix("q=").or(part.strip_prefix("Q=")));
            let weight = weight.map_or(1.0, |weight| weight.trim().parse::<f32>().unwrap_or(0.0));
            (name, (weight.clamp(0.0, 1.0) * 1_000.0) as u16)
        });
        Self(weighed.collect())
    }

    fn named(&self, name: &str) -> Option<u16> {
        let found = self.0.iter().find(|(given, _)| given == name);
        found.map(|(_, weight)| *weight)
    }

    /// 0: not accepted.
    fn weight(&self, name: &[u8]) -> u16 {
        let named = std::str::from_utf8(name).ok().and_then(|name| self.named(name));
        named.or_else(|| self.named("*")).unwrap_or(0)
    }
}

/// Whether it is of a kind that becomes smaller, and no stream of events.
fn is_text(headers: &HeaderMap) -> bool {
    let media = headers.get(CONTENT_TYPE).and_then(|media| media.to_str().ok());
    let media = media.unwrap_or_default().split(';').next().unwrap_or_default();
    match media.trim() {
        "text/event-stream" => false,
        media => {
            media.starts_with("text/")
                || media.ends_with("json")
                || media.ends_with("javascript")
                || media.ends_with("+xml")
                || media == "application/openmetrics-text"
        }
    }
}

/// An answer whose size is not known is a batch, of whole answers.
fn is_large(body: &Body) -> bool {
    body.size_hint().exact().is_none_or(|size| size >= LEAST as u64)
}

/// The pieces of an answer. They are in memory already, and hold their room.
async fn parts_of(mut body: Body) -> Result<Vec<Bytes>, axum::Error> {
    let mut parts = Vec::new();
    while let Some(frame) = body.frame().await {
        parts.extend(frame?.into_data());
    }
    Ok(parts)
}

fn whole(mut parts: Vec<Bytes>) -> Body {
    match parts.pop() {
        Some(only) if parts.is_empty() => Body::from(only),
        last => {
            parts.extend(last);
            Body::from_stream(iter(parts.into_iter().map(Ok::<_, io::Error>)))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use axum::Router;
    use axum::body::to_bytes;
    use axum::middleware::from_fn_with_state;
    use axum::routing::get;
    use tower_service::Service;

    use super::*;

    fn accepted(given: &str) -> Option<Coding> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT_ENCODING, given.parse().unwrap());
        Coding::of(&headers)
    }

    #[test]
    fn clients_say_what_they_can_read() {
        for (given, expected) in [
            ("gzip", Some(Coding::Gzip)),
            ("GZIP, deflate", Some(Coding::Gzip)),
            ("gzip, deflate, br, zstd", Some(Coding::Zstd)),
            ("zstd;q=0.5, gzip;q=0.8", Some(Coding::Gzip)),
            ("zstd;q=0, *", Some(Coding::Gzip)),
            ("*", Some(Coding::Zstd)),
            ("*;q=0", None),
            ("gzip;q=0", None),
            ("gzip;q=0.000, identity", None),
            ("identity, gzip;q=0.5", None),
            ("gzip;q=nonsense", None),
            ("deflate, br", None),
            ("", None),
        ] {
            assert_eq!(accepted(given), expected, "{given}");
        }
        assert_eq!(Coding::of(&HeaderMap::new()), None);
    }

    fn compressor(budget: usize) -> Compressor {
        Compressor {
            memory: MemoryBudget::new(budget),
            cpu: CpuPool::new(1, 1),
        }
    }

    /// What a client gets that asks for this coding: how it is coded, and its bytes.
    async fn answer(
        compressor: Compressor,
        media: &'static str,
        text: Vec<u8>,
        accept: &str,
    ) -> (String, Vec<u8>) {
        let page = get(move || async move { ([(CONTENT_TYPE, media)], text) });
        let mut router: Router = Router::new()
            .route("/", page)
            .layer(from_fn_with_state(compressor, answers));
        let request = axum::http::Request::get("/")
            .header(ACCEPT_ENCODING, accept)
            .body(Body::empty())
            .unwrap();
        let response = router.call(request).await.unwrap();
        let headers = response.headers().clone();
        let bytes = to_bytes(response.into_body(), usize::MAX).await.unwrap().to_vec();
        if let Some(length) = headers.get(CONTENT_LENGTH) {
            assert_eq!(length.to_str().unwrap(), bytes.len().to_string());
        }
        let coding = headers
            .get(CONTENT_ENCODING)
            .map(|coding| coding.to_str().unwrap());
        (coding.unwrap_or_default().to_owned(), bytes)
    }

    fn unpack(coding: &str, bytes: &[u8]) -> Vec<u8> {
        let mut plain = Vec::new();
        match coding {
            "gzip" => flate2::read::GzDecoder::new(bytes)
                .read_to_end(&mut plain)
                .unwrap(),
            "zstd" => zstd::stream::read::Decoder::new(bytes)
                .unwrap()
                .read_to_end(&mut plain)
                .unwrap(),
            other => panic!("{other}"),
        };
        plain
    }

    const JSON: &str = "application/graphql-response+json; charset=utf-8";

    #[tokio::test]
    async fn answers_of_any_size_are_the_same_behind_their_coding() {
        for size in [LEAST, LONG, LONG + 1, 3 << 20] {
            let text: Vec<u8> = br#"{"name":"tools/call"},"#.iter().copied().cycle().take(size).collect();
            for coding in ["gzip", "zstd"] {
                let compressor = compressor(64 << 20);
                let (coded, bytes) = answer(compressor.clone(), JSON, text.clone(), coding).await;
                assert_eq!(coded, coding, "{size}");
                assert!(bytes.len() < size / 4, "{size}: {}", bytes.len());
                assert_eq!(unpack(coding, &bytes), text);
                assert_eq!(compressor.memory.used(), 0, "given back when it is sent");
            }
        }
    }

    #[tokio::test]
    async fn what_gains_nothing_or_finds_no_room_goes_out_as_it_is() {
        let text = vec![b'x'; 2 << 20];
        let small = vec![b'x'; LEAST - 1];
        let mut state = 1_u64;
        let mut random = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        };
        let noise: Vec<u8> = std::iter::repeat_with(&mut random).take(100_000).collect();
        let roomy = || compressor(64 << 20);
        for (compressor, media, text, accept) in [
            (roomy(), JSON, small, "gzip"),
            (roomy(), JSON, noise.clone(), "gzip"),
            (roomy(), JSON, noise, "zstd"),
            (roomy(), "text/event-stream", text.clone(), "gzip"),
            (roomy(), "font/woff2", text.clone(), "gzip"),
            (roomy(), JSON, text.clone(), "identity"),
            (compressor(1 << 20), JSON, text, "gzip"),
        ] {
            let (coding, bytes) = answer(compressor, media, text.clone(), accept).await;
            assert!(
                coding.is_empty() && bytes == text,
                "{media}, {} bytes",
                text.len()
            );
        }
    }

    #[tokio::test]
    async fn answers_in_pieces_are_compressed_whole() {
        let parts: Vec<Bytes> = (0..2_000).map(|part| format!("{part},").into()).collect();
        let plain = parts.concat();
        let packed = compressor(64 << 20).pack(Coding::Gzip, &parts).await.unwrap();
        assert_eq!(unpack("gzip", packed.as_ref()), plain);
        assert_eq!(to_bytes(whole(parts), usize::MAX).await.unwrap(), plain);
    }
}
