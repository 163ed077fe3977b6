//! Messages on their two carriers: lines on a pipe (stdio), and server-sent events in an HTTP body.

use super::scanner::{Scan, Scanner};

/// The longest name of an event's field, and the longest value of one that is not data, in bytes.
const LONGEST_FIELD: usize = 1024;

/// Reads messages that are separated by line breaks.
#[derive(Debug)]
pub(crate) struct Lines {
    cap: usize,
    scanner: Scanner,
}

impl Lines {
    /// Keeps at most `cap` bytes of each body.
    pub(crate) fn new(cap: usize) -> Self {
        Self {
            cap,
            scanner: Scanner::new(cap),
        }
    }

    /// Reads on; `visit` is given each line that has ended.
    pub(crate) fn feed(&mut self, mut bytes: &[u8], mut visit: impl FnMut(Scan)) {
        while let Some(end) = memchr::memchr(b'\n', bytes) {
            let (line, rest) = bytes.split_at(end);
            self.scanner.feed(line);
            bytes = rest.get(1..).unwrap_or_default();
            visit(self.take());
        }
        self.scanner.feed(bytes);
    }

    /// The last line, which may have no line break.
    pub(crate) fn finish(&mut self) -> Option<Scan> {
        (!self.scanner.is_fresh()).then(|| self.take())
    }

    fn take(&mut self) -> Scan {
        std::mem::replace(&mut self.scanner, Scanner::new(self.cap)).finish()
    }
}

/// One server-sent event.
#[derive(Debug)]
pub(crate) struct Event {
    /// Its name; none is `message`.
    pub(crate) name: String,
    /// Whether it has an id, by which a client can ask for what comes after it.
    pub(crate) resumable: bool,
    /// Its data.
    pub(crate) data: Scan,
}

/// Where in a line of an event stream the reader is.
#[derive(Debug)]
enum Place {
    /// In a field's name.
    Name(Vec<u8>),
    /// After the colon, before the value.
    Colon(Named),
    /// In a field's value.
    Value(Named, Vec<u8>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Named {
    Data,
    Event,
    Id,
    Other,
}

/// Reads an event stream (HTML standard, section 9.2) as it streams by.
#[derive(Debug)]
pub(crate) struct EventStream {
    cap: usize,
    place: Place,
    /// Whether the last byte was a carriage return: a line feed after it ends no second line.
    returned: bool,
    scanner: Scanner,
    has_data: bool,
    name: Vec<u8>,
    resumable: bool,
}

impl EventStream {
    /// Keeps at most `cap` bytes of each body.
    pub(crate) fn new(cap: usize) -> Self {
        Self {
            cap,
            place: Place::Name(Vec::new()),
            returned: false,
            scanner: Scanner::new(cap),
            has_data: false,
            name: Vec::new(),
            resumable: false,
        }
    }

    /// Reads on; `visit` is given each event that has ended.
    pub(crate) fn feed(&mut self, mut bytes: &[u8], mut visit: impl FnMut(Event)) {
        while let Some(byte) = bytes.first().copied() {
            if byte == b'\n' && std::mem::take(&mut self.returned) {
                bytes = bytes.get(1..).unwrap_or_default();
                continue;
            }
            self.returned = false;
            let stop = memchr::memchr2(b'\r', b'\n', bytes);
            let line = bytes.get(..stop.unwrap_or(bytes.len())).unwrap_or_default();
            self.read(line);
            let Some(stop) = stop else { return };
            self.returned = bytes.get(stop) == Some(&b'\r');
            bytes = bytes.get(stop + 1..).unwrap_or_default();
            if let Some(event) = self.end_line() {
                visit(event);
            }
        }
    }

    /// A piece of a line.
    fn read(&mut self, mut piece: &[u8]) {
        while !piece.is_empty() {
            match &mut self.place {
                Place::Name(name) => {
                    let end = memchr::memchr(b':', piece);
                    let part = piece.get(..end.unwrap_or(piece.len())).unwrap_or_default();
                    let room = LONGEST_FIELD.saturating_sub(name.len());
                    name.extend(part.iter().take(room));
                    let Some(end) = end else { return };
                    piece = piece.get(end + 1..).unwrap_or_default();
                    let named = match name.as_slice() {
                        b"data" => Named::Data,
                        b"event" => Named::Event,
                        b"id" => Named::Id,
                        _ => Named::Other,
                    };
                    self.place = Place::Colon(named);
                }
                Place::Colon(named) => {
                    let named = *named;
                    // One space after the colon is no part of the value.
                    piece = piece.strip_prefix(b" ").unwrap_or(piece);
                    self.begin_value(named);
                }
                Place::Value(Named::Data, _) => {
                    self.scanner.feed(piece);
                    return;
                }
                Place::Value(_, value) => {
                    let room = LONGEST_FIELD.saturating_sub(value.len());
                    value.extend(piece.iter().take(room));
                    return;
                }
            }
        }
    }

    fn begin_value(&mut self, named: Named) {
        if named == Named::Data {
            // Several lines of data are one text.
            if self.has_data {
                self.scanner.feed(b"\n");
            }
            self.has_data = true;
        }
        self.place = Place::Value(named, Vec::new());
    }

    fn end_line(&mut self) -> Option<Event> {
        match std::mem::replace(&mut self.place, Place::Name(Vec::new())) {
            Place::Name(name) if name.is_empty() => return self.dispatch(),
            // A field without a colon has an empty value.
            Place::Name(name) if name == b"data" => self.begin_value(Named::Data),
            Place::Colon(Named::Data) => self.begin_value(Named::Data),
            Place::Value(Named::Event, value) => self.name = value,
            Place::Value(Named::Id, _) => self.resumable = true,
            _ => {}
        }
        self.place = Place::Name(Vec::new());
        None
    }

    fn dispatch(&mut self) -> Option<Event> {
        let scanner = std::mem::replace(&mut self.scanner, Scanner::new(self.cap));
        let name = String::from_utf8_lossy(&std::mem::take(&mut self.name)).into_owned();
        let resumable = std::mem::take(&mut self.resumable);
        std::mem::take(&mut self.has_data).then(|| Event {
            name: if name.is_empty() {
                "message".to_owned()
            } else {
                name
            },
            resumable,
            data: scanner.finish(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::Field;
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

    fn events(text: &str, piece: usize) -> Vec<(String, bool, String, bool)> {
        let mut reader = EventStream::new(100);
        let mut found = Vec::new();
        for bytes in text.as_bytes().chunks(piece) {
            reader.feed(bytes, |event| {
                let id = event
                    .data
                    .messages
                    .first()
                    .and_then(|message| message.get(Field::Id));
                let text = id.map_or(event.data.head.clone(), |id| id.text.clone());
                found.push((event.name, event.resumable, text, event.data.is_jsonrpc()));
            });
        }
        found
    }

    #[test]
    fn events_are_read_in_any_pieces_and_with_any_line_breaks() {
        let text = ": hello\nretry: 3\nid: 7\ndata:\n\nevent: endpoint\ndata: /messages?sessionId=s\n\n\
            data:{\"id\":1,\ndata: \"result\":{}}\n\ndata: {\"id\":2,\"result\":{}}\nid: 8\n\nevent: unfinished\ndata: x";
        let expected = vec![
            ("message".to_owned(), true, String::new(), false),
            (
                "endpoint".to_owned(),
                false,
                "/messages?sessionId=s".to_owned(),
                false,
            ),
            ("message".to_owned(), false, "1".to_owned(), true),
            ("message".to_owned(), true, "2".to_owned(), true),
        ];
        for newline in ["\n", "\r", "\r\n"] {
            let text = text.replace('\n', newline);
            for piece in [1, 2, 3, 5, 1000] {
                assert_eq!(events(&text, piece), expected, "{newline:?} {piece}");
            }
        }
    }
}
