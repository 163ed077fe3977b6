//! Server-sent events in an HTTP body.

use super::scanner::{Scan, Scanner};

/// The longest name of an event's field, and the longest value of one that is not data, in bytes.
const LONGEST_FIELD: usize = 1024;
/// A byte order mark, which may stand at the beginning of a stream.
const BOM: [u8; 3] = *b"\xef\xbb\xbf";

/// One server-sent event.
#[derive(Debug)]
pub(crate) struct Event {
    /// Its name; none is `message`.
    pub(crate) name: String,
    /// Its id, by which a client can ask for what comes after it: its first KiB.
    pub(crate) id: Option<Vec<u8>>,
    /// Its data. An event without data, which browsers do not see, is given for its id.
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
    /// How much of a byte order mark was read; all of it once anything else was.
    bom: usize,
    /// Whether the last byte was a carriage return: a line feed after it ends no second line.
    returned: bool,
    scanner: Scanner,
    has_data: bool,
    name: Vec<u8>,
    id: Option<Vec<u8>>,
}

impl EventStream {
    /// Keeps at most `cap` bytes of each body.
    pub(crate) fn new(cap: usize) -> Self {
        Self {
            cap,
            place: Place::Name(Vec::new()),
            bom: 0,
            returned: false,
            scanner: Scanner::new(cap),
            has_data: false,
            name: Vec::new(),
            id: None,
        }
    }

    /// Reads on; `visit` is given each event that has ended.
    pub(crate) fn feed(&mut self, mut bytes: &[u8], mut visit: impl FnMut(Event)) {
        while let Some(byte) = bytes.first().copied() {
            if BOM.get(self.bom) == Some(&byte) {
                self.bom += 1;
                bytes = bytes.get(1..).unwrap_or_default();
                continue;
            }
            self.bom = BOM.len();
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
            Place::Value(Named::Id, id) if id.contains(&0) => {}
            Place::Value(Named::Id, id) => self.id = Some(id).filter(|id| !id.is_empty()),
            Place::Colon(Named::Id) => self.id = None,
            Place::Name(name) if name == b"id" => self.id = None,
            // Of two names the last counts, also if it is empty.
            Place::Colon(Named::Event) => self.name.clear(),
            Place::Name(name) if name == b"event" => self.name.clear(),
            _ => {}
        }
        self.place = Place::Name(Vec::new());
        None
    }

    fn dispatch(&mut self) -> Option<Event> {
        let scanner = std::mem::replace(&mut self.scanner, Scanner::new(self.cap));
        let name = String::from_utf8_lossy(&std::mem::take(&mut self.name)).into_owned();
        let id = self.id.take();
        let is_told = std::mem::take(&mut self.has_data) || id.is_some();
        is_told.then(|| Event {
            name: if name.is_empty() {
                "message".to_owned()
            } else {
                name
            },
            id,
            data: scanner.finish(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::Field;
    use super::*;

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
                found.push((event.name, event.id.is_some(), text, event.data.is_jsonrpc()));
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

    #[test]
    fn streams_are_read_as_browsers_read_them() {
        // The byte order mark at the beginning only, comments, fields without a colon or a space, two names, an id that
        // is taken back, one that has a NUL, and an event that the stream ends in.
        let text = "\u{feff}data: {\"id\":0,\"result\":{}}\n\n:\n: event: no\ndata\ndata:{\"id\":1,\ndata:\"result\":{}}\nevent: x\nevent\nid: 7\nid:\n\n\
            \u{feff}data: no\nid: a\0b\n\nid\ndata:  {\"id\":2,\"result\":{}}\nretry\n\nid: 9\n\ndata: {\"id\":3,\"result\":{}}\n";
        let message =
            |resumable, id: &str, is_jsonrpc| ("message".to_owned(), resumable, id.to_owned(), is_jsonrpc);
        let expected = vec![
            message(false, "0", true),
            message(false, "1", true),
            message(false, "2", true),
            message(true, "", false),
        ];
        for newline in ["\n", "\r", "\r\n"] {
            let text = text.replace('\n', newline);
            for piece in [1, 2, 3, 5, 1000] {
                assert_eq!(events(&text, piece), expected, "{newline:?} {piece}");
            }
        }
    }
}
