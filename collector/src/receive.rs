//! Bodies of requests, read into reserved memory.

use axum::body::Body;
use axum::http::{HeaderMap, header};
use http_body_util::BodyExt;
use mcptap_store::{MemoryBudget, Reservation};

use crate::MAX_REQUEST_BYTES;
use crate::status::Refusal;

/// The first buffer for a body.
const FIRST: usize = 16 << 10;

/// A body as it came, and the memory it takes.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) body: Vec<u8>,
    pub(crate) held: Reservation,
}

/// Reads a body. Memory is reserved as bytes come, not by what a sender promises: a promise alone holds nothing.
pub(crate) async fn receive(
    headers: &HeaderMap,
    mut body: Body,
    memory: &MemoryBudget,
) -> Result<Received, Refusal> {
    let too_large = Refusal::TooLarge {
        limit: MAX_REQUEST_BYTES,
    };
    let promised: Option<usize> = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse().ok());
    if promised.is_some_and(|length| length > MAX_REQUEST_BYTES) {
        return Err(too_large);
    }
    // A client hears before it sends that there is no room now.
    drop(memory.try_reserve(promised.unwrap_or_default())?);
    let mut received = Received {
        body: Vec::new(),
        held: memory.try_reserve(0)?,
    };
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Refusal::Malformed("the body could not be read".to_owned()))?;
        let Ok(chunk) = frame.into_data() else { continue };
        let buffer = &mut received.body;
        let length = buffer.len() + chunk.len();
        if length > MAX_REQUEST_BYTES {
            return Err(too_large);
        }
        if length > buffer.capacity() {
            let doubled = (buffer.capacity() * 2).max(FIRST);
            let capacity = doubled.min(promised.unwrap_or(MAX_REQUEST_BYTES)).max(length);
            received.held.resize(capacity)?;
            buffer.reserve_exact(capacity - buffer.len());
        }
        buffer.extend_from_slice(&chunk);
    }
    Ok(received)
}

#[cfg(test)]
mod tests {
    use axum::body::Bytes;
    use http_body::Frame;
    use http_body_util::StreamBody;

    use super::*;

    fn chunks(count: usize, length: usize) -> Body {
        let frames =
            (0..count).map(move |_| Ok::<_, std::io::Error>(Frame::data(Bytes::from(vec![1; length]))));
        Body::new(StreamBody::new(futures_util::stream::iter(frames)))
    }

    #[tokio::test]
    async fn a_body_takes_about_what_it_has() {
        let memory = MemoryBudget::new(MAX_REQUEST_BYTES);
        for (count, length) in [(0, 1), (1, 1), (3, 40_000), (1000, 1000), (16, 1 << 20)] {
            let received = receive(&HeaderMap::new(), chunks(count, length), &memory)
                .await
                .unwrap();
            let bytes = count * length;
            assert_eq!(received.body.len(), bytes);
            assert!((bytes..=bytes * 2 + FIRST).contains(&received.held.bytes()));
        }
        assert_eq!(memory.used(), 0);
    }

    #[tokio::test]
    async fn what_is_too_large_or_does_not_fit_is_refused() {
        let memory = MemoryBudget::new(MAX_REQUEST_BYTES);
        let none = HeaderMap::new();
        let large = receive(&none, chunks(17, 1 << 20), &memory).await;
        assert!(matches!(large, Err(Refusal::TooLarge { .. })));
        let promise = |length: usize| HeaderMap::from_iter([(header::CONTENT_LENGTH, length.into())]);
        let promised = receive(&promise(MAX_REQUEST_BYTES + 1), chunks(1, 1), &memory).await;
        assert!(matches!(promised, Err(Refusal::TooLarge { .. })));
        let _others = memory.try_reserve(MAX_REQUEST_BYTES - 100_000).unwrap();
        let full = receive(&promise(200_000), chunks(1, 1), &memory).await;
        assert!(matches!(full, Err(Refusal::Exhausted(_))), "{full:?}");
        let full = receive(&none, chunks(10, 20_000), &memory).await;
        assert!(matches!(full, Err(Refusal::Exhausted(_))), "{full:?}");
        assert!(receive(&none, chunks(1, 20_000), &memory).await.is_ok());
    }
}
