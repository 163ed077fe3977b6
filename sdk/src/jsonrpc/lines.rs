//! Messages on a pipe (stdio): one a line; or framed by headers, as some servers write them.

use super::scanner::{Scan, Scanner};

/// The header that tells how long a framed message is (LSP's base protocol).
const LENGTH_HEADER: &str = "content-length";

/// Reads messages that are separated by line breaks. MCP knows no others; messages that are framed by headers as in
/// LSP are read as well, since some pairs of client and server agree on that.
#[derive(Debug)]
pub(crate) struct Lines {
    cap: usize,
    scanner: Scanner,
    place: Place,
    is_framed: bool,
}

/// Where in the framing the reader is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// In a line that is a message, or noise.
    Line,
    /// Among the headers of a message of that length, in bytes.
    Headers(usize),
    /// In a framed message, of which so many bytes are to come.
    Body(usize),
}

impl Lines {
    /// Keeps at most `cap` bytes of each body.
    pub(crate) fn new(cap: usize) -> Self {
        Self {
            cap,
            scanner: Scanner::new(cap),
            place: Place::Line,
            is_framed: false,
        }
    }

    /// Whether a message came that was framed by headers.
    pub(crate) fn is_framed(&self) -> bool {
        self.is_framed
    }

    /// Reads on; `visit` is given each line that has ended, and each framed message.
    pub(crate) fn feed(&mut self, mut bytes: &[u8], mut visit: impl FnMut(Scan)) {
        while !bytes.is_empty() {
            if let Place::Body(left) = self.place {
                // Other texts have such headers too, and no message after them.
                if self.scanner.is_fresh() && !matches!(bytes.first(), Some(b'{' | b'[' | b'\xef')) {
                    self.place = Place::Line;
                    continue;
                }
                let (body, rest) = bytes.split_at(left.min(bytes.len()));
                self.scanner.feed(body);
                bytes = rest;
                self.place = Place::Body(left - body.len());
                if left == body.len() {
                    self.place = Place::Line;
                    self.is_framed = true;
                    visit(self.take());
                }
                continue;
            }
            let Some(end) = memchr::memchr(b'\n', bytes) else {
                self.scanner.feed(bytes);
                return;
            };
            let (line, rest) = bytes.split_at(end);
            self.scanner.feed(line);
            bytes = rest.get(1..).unwrap_or_default();
            let line = self.take();
            let (place, is_header) = next_place(self.place, &line);
            self.place = place;
            if !is_header {
                visit(line);
            }
        }
    }

    /// The last line, which may have no line break.
    pub(crate) fn finish(&mut self) -> Option<Scan> {
        (!self.scanner.is_fresh()).then(|| self.take())
    }

    fn take(&mut self) -> Scan {
        std::mem::replace(&mut self.scanner, Scanner::new(self.cap)).finish()
    }
}

/// Where a line leads to, and whether it is part of a frame.
fn next_place(place: Place, line: &Scan) -> (Place, bool) {
    let header = line.head.split_once(':').filter(|_| !line.complete);
    let length = header
        .filter(|(name, _)| {
            name.trim_start_matches('\u{feff}')
                .eq_ignore_ascii_case(LENGTH_HEADER)
        })
        .and_then(|(_, length)| length.trim().parse::<usize>().ok())
        .filter(|length| *length > 0);
    match (place, length) {
        (_, Some(length)) => (Place::Headers(length), true),
        (Place::Headers(length), None) if line.is_blank() => (Place::Body(length), true),
        (Place::Headers(length), None) if header.is_some() => (Place::Headers(length), true),
        _ => (Place::Line, false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str, piece: usize) -> Vec<Scan> {
        let mut reader = Lines::new(100);
        let mut found = Vec::new();
        for bytes in text.as_bytes().chunks(piece) {
            reader.feed(bytes, |scan| found.push(scan));
        }
        found.extend(reader.finish());
        found
    }

    #[test]
    fn lines_are_messages_or_they_are_not() {
        let text = "{\"method\":\"ping\",\"id\":1}\nhello {\n\n{\"id\":1,\"result\":{}}";
        for piece in [1, 2, 7, 1000] {
            let found = lines(text, piece);
            let kinds: Vec<(bool, bool)> = found
                .iter()
                .map(|scan| (scan.is_jsonrpc(), scan.is_blank()))
                .collect();
            assert_eq!(
                kinds,
                [(true, false), (false, false), (false, true), (true, false)],
                "{piece}"
            );
            assert_eq!(found[1].head, "hello {");
        }
    }

    #[test]
    fn framed_messages_are_read_and_said_to_be_framed() {
        let one = r#"{"method":"ping","id":1}"#;
        let two = "{\"id\":1,\n\"result\":{}}";
        let (first, second) = (one.len(), two.len());
        let text = format!(
            "Content-Length: {first}\r\n\r\n{one}content-length:{second}\r\nContent-Type: x\r\n\r\n{two}{one}\n"
        );
        for piece in [1, 2, 7, 1000] {
            let mut reader = Lines::new(100);
            let mut found = Vec::new();
            for bytes in text.as_bytes().chunks(piece) {
                reader.feed(bytes, |scan| found.push(scan));
            }
            assert!(reader.is_framed() && reader.finish().is_none());
            let read: Vec<_> = found.iter().map(|scan| (scan.is_jsonrpc(), scan.size)).collect();
            assert_eq!(read, [(true, first), (true, second), (true, first)], "{piece}");
        }
    }

    #[test]
    fn what_is_framed_and_no_message_loses_none() {
        let text = "Content-Length: 5000\r\n\r\nHello\n{\"method\":\"ping\",\"id\":1}\n";
        for piece in [1, 2, 7, 1000] {
            let found = lines(text, piece);
            assert_eq!(
                found.iter().filter(|scan| scan.is_jsonrpc()).count(),
                1,
                "{piece}"
            );
        }
    }

    #[test]
    fn a_header_without_a_frame_loses_no_message() {
        let text = "Content-Length: 70\n{\"method\":\"ping\",\"id\":1}\n";
        let found = lines(text, 1000);
        assert!(found.iter().any(Scan::is_jsonrpc), "{found:?}");
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_a_message() {
        let found = lines("\u{feff}{\"method\":\"ping\",\"id\":1}\r\n\u{feff}\r\n", 1);
        assert!(found[0].is_jsonrpc() && found[1].is_blank(), "{found:?}");
    }
}
