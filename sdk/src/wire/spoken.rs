//! Messages of rmcp as records have them. What names a request and how it ended is read from its small members; the large ones,
//! arguments and contents, are written as JSON only for a body that somebody keeps, once and as a whole.

use std::io;

use rmcp::model::{ClientRequest, ErrorData, GetMeta, RequestId, RequestMetaObject, ServerResult};
use serde::Serialize;

use crate::jsonrpc::{Excerpt, Id, Message, Taking};

/// A request as it was on the wire.
#[derive(Serialize)]
struct Asked<'a> {
    id: &'a RequestId,
    #[serde(flatten)]
    request: &'a ClientRequest,
}

/// An answer as it will be on the wire.
#[derive(Serialize)]
struct Answered<'a> {
    id: u8,
    #[serde(flatten)]
    answer: Outcome<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Outcome<'a> {
    Result(&'a ServerResult),
    Error(&'a ErrorData),
}

/// An error as the body of an answer.
#[derive(Serialize)]
struct Refusal<'a> {
    error: &'a ErrorData,
}

/// The id of a request.
pub(crate) fn id_of(id: &RequestId) -> Id {
    match id {
        RequestId::Number(number) => Id::number(&number.to_string()),
        RequestId::String(text) => Id::Text(text.to_string()),
    }
}

/// A value as JSON text, at most `cap` bytes of it. None when it cannot be written.
fn written(value: &impl Serialize, cap: usize) -> Option<Excerpt> {
    let mut taking = Kept(Taking::new(cap));
    serde_json::to_writer(&mut taking, value).ok()?;
    Some(taking.0.finish())
}

struct Kept(Taking);

impl io::Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.push(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A message that is changed for as long as it is read. It is as it was afterwards, also where reading panics.
struct Altered<'a, T, L, R: Fn(&mut T, L)> {
    message: &'a mut T,
    held: Option<L>,
    restore: R,
}

impl<T, L, R: Fn(&mut T, L)> Drop for Altered<'_, T, L, R> {
    fn drop(&mut self) {
        if let Some(held) = self.held.take() {
            (self.restore)(self.message, held);
        }
    }
}

/// Calls `read` on a message after `alter`, and `restore` on it afterwards.
fn altered<T, L, S>(
    message: &mut T,
    alter: impl FnOnce(&mut T) -> L,
    restore: impl Fn(&mut T, L),
    read: impl FnOnce(&mut T) -> S,
) -> S {
    let held = Some(alter(message));
    let altered = Altered {
        message,
        held,
        restore,
    };
    read(altered.message)
}

/// What a request says, without the arguments of a tool. The request is as it was afterwards.
pub(crate) fn asked(id: &RequestId, request: &mut ClientRequest) -> Option<Message> {
    altered(
        request,
        |request| match request {
            ClientRequest::CallToolRequest(call) => {
                let params = &mut call.params;
                (params.arguments.take(), params.input_responses.take())
            }
            _ => (None, None),
        },
        |request, large| {
            if let ClientRequest::CallToolRequest(call) = request {
                (call.params.arguments, call.params.input_responses) = large;
            }
        },
        |request| Message::of(&Asked { id, request }, usize::MAX),
    )
}

/// The body of a request: method and params.
pub(crate) fn body_of(request: &ClientRequest, cap: usize) -> Excerpt {
    written(request, cap).unwrap_or_default()
}

/// What an answer says, with its body where that is kept: at most so many bytes of it.
pub(crate) fn answered(answer: Result<&mut ServerResult, &ErrorData>, cap: Option<usize>) -> Option<Message> {
    let result = match answer {
        Ok(result) => result,
        Err(error) => {
            let body = cap.and_then(|cap| written(&Refusal { error }, cap));
            let said = Answered {
                id: 0,
                answer: Outcome::Error(error),
            };
            return Message::of(&said, usize::MAX).map(|said| said.with_body(body));
        }
    };
    let ServerResult::CallToolResult(_) = result else {
        let said = Answered {
            id: 0,
            answer: Outcome::Result(result),
        };
        return Message::of(&said, cap.unwrap_or_default());
    };
    let body = cap.and_then(|cap| written(&*result, cap));
    let said = altered(
        result,
        |result| match result {
            ServerResult::CallToolResult(told) => {
                (std::mem::take(&mut told.content), told.structured_content.take())
            }
            _ => (Vec::new(), None),
        },
        |result, large| {
            if let ServerResult::CallToolResult(told) = result {
                (told.content, told.structured_content) = large;
            }
        },
        |result| {
            let said = Answered {
                id: 0,
                answer: Outcome::Result(result),
            };
            Message::of(&said, usize::MAX)
        },
    );
    said.map(|said| said.with_body(body))
}

/// Calls `read` on the request as it was sent. rmcp moves `_meta` from the request into its context before a
/// service sees it; it is put back for as long as the call takes.
pub(crate) fn with_meta<T>(
    request: &mut ClientRequest,
    meta: &RequestMetaObject,
    read: impl FnOnce(&mut ClientRequest) -> T,
) -> T {
    if meta.0.0.is_empty() {
        return read(request);
    }
    altered(
        request,
        |request| std::mem::replace(request.get_meta_mut(), meta.clone()),
        |request, held| *request.get_meta_mut() = held,
        read,
    )
}

#[cfg(test)]
mod tests {
    use rmcp::model::{CallToolRequest, CallToolRequestParams, CallToolResult, ContentBlock};
    use serde_json::json;

    use super::*;
    use crate::jsonrpc::Field;

    #[test]
    fn a_request_is_read_without_its_arguments_and_stays_as_it_is() {
        let arguments = json!({"order": 7}).as_object().cloned().unwrap();
        let params = CallToolRequestParams::new("buy").with_arguments(arguments);
        let mut request = ClientRequest::from(CallToolRequest::new(params));
        let before = serde_json::to_string(&request).unwrap();
        let head = asked(&RequestId::Number(7), &mut request).unwrap();
        assert_eq!(head.text(Field::Name).as_deref(), Some("buy"));
        assert_eq!(head.id(), Some(Id::number("7")));
        assert!(!head.body().text.contains("order"));
        assert_eq!(body_of(&request, usize::MAX).text, before);
        let cut = body_of(&request, 20);
        assert!(cut.text.len() <= 20 && cut.size == before.len());
    }

    #[test]
    fn a_message_is_as_it_was_also_where_reading_it_panics() {
        let mut message = vec![1, 2, 3];
        let read = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            altered(
                &mut message,
                std::mem::take,
                |message, held| *message = held,
                |message| {
                    assert!(message.is_empty());
                    panic!("reading breaks")
                },
            )
        }));
        assert!(read.is_err());
        assert_eq!(message, [1, 2, 3]);
    }

    #[test]
    fn an_answer_has_its_body_where_it_is_kept_and_its_outcome_in_any_case() {
        let mut result =
            ServerResult::CallToolResult(CallToolResult::error(vec![ContentBlock::text("no stock")]));
        let whole = serde_json::to_string(&result).unwrap();
        for (cap, body) in [(None, None), (Some(1000), Some(whole.as_str()))] {
            let said = answered(Ok(&mut result), cap).unwrap();
            assert!(said.is_true(Field::IsError));
            assert!(said.is_answer());
            match body {
                Some(body) => assert_eq!(said.body().text, body),
                None => assert!(!said.body().text.contains("stock")),
            }
            assert_eq!(serde_json::to_string(&result).unwrap(), whole);
        }
        let error = ErrorData::internal_error("database is gone", None);
        let said = answered(Err(&error), Some(1000)).unwrap();
        assert_eq!(said.integer(Field::ErrorCode), Some(-32603));
        assert_eq!(
            said.body().json().unwrap()["error"]["message"],
            "database is gone"
        );
    }
}
