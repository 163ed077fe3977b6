//! The deadline that a client of gRPC sets with `grpc-timeout`: after it nobody waits for the answer, so the work ends.

use std::time::Duration;

use axum::extract::Request;
use axum::http::{HeaderMap, Version};
use axum::middleware::Next;
use axum::response::Response;
use tokio::time::timeout;

/// Gives the work up when the client's deadline has passed. What it has handed to the store by then is stored all the
/// same; the client sends it again, and it is recorded once.
pub(crate) async fn honour(request: Request, next: Next) -> Response {
    let Some(left) = of(request.headers()).filter(|_| request.version() == Version::HTTP_2) else {
        return next.run(request).await;
    };
    match timeout(left, next.run(request)).await {
        Ok(answer) => answer,
        Err(_) => tonic::Status::deadline_exceeded("the deadline of the request has passed").into_http(),
    }
}

/// At most eight digits and a unit.
fn of(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let amount: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(amount * 60 * 60),
        "M" => Duration::from_secs(amount * 60),
        "S" => Duration::from_secs(amount),
        "m" => Duration::from_millis(amount),
        "u" => Duration::from_micros(amount),
        "n" => Duration::from_nanos(amount),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_that_nobody_waits_for_is_given_up() {
        use std::sync::Arc;

        use axum::Router;
        use axum::body::Body;
        use axum::middleware::from_fn;
        use axum::routing::post;
        use tower_service::Service as _;

        let work = Arc::new(());
        let held = Arc::clone(&work);
        let endless = async move || {
            let _held = Arc::clone(&held);
            std::future::pending::<()>().await;
        };
        let mut router = Router::new()
            .route("/", post(endless.clone()))
            .layer(from_fn(honour));
        drop(endless);
        let idle = Arc::strong_count(&work);
        let request = Request::post("/").version(Version::HTTP_2);
        let request = request.header("grpc-timeout", "50m").body(Body::empty()).unwrap();
        let answer = timeout(Duration::from_secs(30), router.call(request));
        let answer = answer.await.expect("an answer").unwrap();
        assert_eq!(answer.headers()["grpc-status"], "4");
        assert_eq!(Arc::strong_count(&work), idle, "it still works");
    }

    #[test]
    fn deadlines_are_read_as_grpc_has_them() {
        let read = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("grpc-timeout", text.parse().unwrap());
            of(&headers)
        };
        assert_eq!(read("10S"), Some(Duration::from_secs(10)));
        assert_eq!(read("250m"), Some(Duration::from_millis(250)));
        assert_eq!(read("2H"), Some(Duration::from_secs(7200)));
        assert_eq!(read("99999999n"), Some(Duration::from_nanos(99_999_999)));
        for wrong in ["", "S", "10", "999999999S", "-1S", "1 S", "1X", "1é"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
        assert_eq!(of(&HeaderMap::new()), None);
    }
}
