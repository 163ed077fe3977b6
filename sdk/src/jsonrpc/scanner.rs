//! The scanner: one pass over the bytes, in whatever pieces they come, that keeps what [`Message`] wants.

use super::excerpt::Taking;
use super::message::{Kind, Message};
use super::places::{Cap, DEEPEST, Field, SMALL, place};

/// The longest key that can matter, in bytes.
const LONGEST_KEY: usize = 64;
/// How many messages a batch may hold; what is beyond is passed over.
const LARGEST_BATCH: usize = 10_000;
/// How many bodies' worth of bytes are kept of a batch as a whole: a batch has a few large messages or many small ones.
/// Of bodies beyond that the size alone is kept. With as much again for the other values, messages are passed over.
const BATCH_BODIES: usize = 8;
/// How many bytes are kept of a batch in any case, also where bodies are kept short or not at all.
const SMALL_BATCH: usize = 1 << 20;
/// How many bytes of a text that is no JSON-RPC are kept, to show them.
const HEAD: usize = 2 * 1024;
/// A byte order mark, which some writers put before a text.
const BOM: [u8; 3] = *b"\xef\xbb\xbf";

/// What a text turned out to be.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    /// The messages in it: one, or those of a batch.
    pub(crate) messages: Vec<Message>,
    /// Whether the text ended where a JSON text ends. Only nesting and strings are looked at.
    pub(crate) complete: bool,
    /// How it begins: at most 2 KiB.
    pub(crate) head: String,
    /// Its size in bytes.
    pub(crate) size: usize,
}

impl Scan {
    /// Whether it is nothing but JSON-RPC.
    pub(crate) fn is_jsonrpc(&self) -> bool {
        self.complete && !self.messages.is_empty() && self.messages.iter().all(Message::is_jsonrpc)
    }

    /// Whether there is nothing in it.
    pub(crate) fn is_blank(&self) -> bool {
        self.head.trim_start_matches('\u{feff}').trim().is_empty()
    }
}

/// Where the scanner is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// Between tokens.
    Between,
    /// In a string; the flag says that the next byte is escaped.
    String { escaped: bool },
    /// In a number, `true`, `false` or `null`.
    Scalar,
}

/// A value being taken.
#[derive(Debug)]
struct Taken {
    field: Field,
    /// Its depth in the message.
    depth: usize,
    kind: Kind,
    bytes: Taking,
}

/// Reads one text: a message or a batch of them.
#[derive(Debug)]
pub(crate) struct Scanner {
    /// How many bytes of a body are kept.
    cap: usize,
    at: At,
    /// How many containers are open.
    depth: usize,
    /// 1 inside a batch, else 0: the depth at which messages stand.
    base: usize,
    /// For the outermost containers, whether each is an object.
    objects: Vec<bool>,
    /// The keys that lead to where the scanner is, below the message.
    path: Vec<String>,
    /// Whether the next string is a key.
    expects_key: bool,
    /// The key being read.
    key: Option<Vec<u8>>,
    /// The values being taken, outermost first.
    taking: Vec<Taken>,
    message: Option<Message>,
    /// How many bytes are kept of the messages of a batch that have ended.
    kept: usize,
    begun: bool,
    /// How much of a byte order mark was read.
    bom: usize,
    malformed: bool,
    head: Taking,
    scan: Scan,
}

impl Scanner {
    /// A scanner that keeps at most `cap` bytes of each body.
    pub(crate) fn new(cap: usize) -> Self {
        Self {
            cap,
            at: At::Between,
            depth: 0,
            base: 0,
            objects: Vec::new(),
            path: Vec::new(),
            expects_key: false,
            key: None,
            taking: Vec::new(),
            message: None,
            kept: 0,
            begun: false,
            bom: 0,
            malformed: false,
            head: Taking::new(HEAD),
            scan: Scan::default(),
        }
    }

    /// Whether nothing was read yet.
    pub(crate) fn is_fresh(&self) -> bool {
        self.scan.size == 0
    }

    /// Reads on.
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        self.scan.size = self.scan.size.saturating_add(bytes.len());
        self.head.push(bytes);
        if self.malformed {
            return;
        }
        // Everything before `from` has been given to the values being taken.
        let mut from = 0;
        let mut next = 0;
        while let Some(byte) = bytes.get(next).copied() {
            match self.at {
                At::String { escaped: true } => {
                    self.push_key(&[byte]);
                    self.at = At::String { escaped: false };
                    next += 1;
                }
                At::String { escaped: false } => {
                    let rest = bytes.get(next..).unwrap_or_default();
                    let Some(found) = memchr::memchr2(b'"', b'\\', rest) else {
                        self.push_key(rest);
                        break;
                    };
                    let stop = next + found;
                    self.push_key(bytes.get(next..=stop).unwrap_or_default());
                    next = stop + 1;
                    if bytes.get(stop) == Some(&b'\\') {
                        self.at = At::String { escaped: true };
                        continue;
                    }
                    self.at = At::Between;
                    if self.key.is_some() {
                        self.end_key();
                    } else {
                        self.give(bytes, &mut from, next);
                        self.end_value();
                    }
                }
                At::Scalar if is_scalar(byte) => next += 1,
                At::Scalar => {
                    self.at = At::Between;
                    self.give(bytes, &mut from, next);
                    self.end_value();
                }
                At::Between => {
                    self.token(byte, bytes, &mut from, next);
                    next += 1;
                    if self.malformed {
                        return;
                    }
                }
            }
        }
        self.give(bytes, &mut from, bytes.len());
    }

    /// The end of the text.
    pub(crate) fn finish(mut self) -> Scan {
        if self.at == At::Scalar {
            self.end_value();
            self.at = At::Between;
        }
        self.scan.complete = self.begun && !self.malformed && self.depth == 0 && self.at == At::Between;
        self.scan.head = self.head.finish().text;
        self.scan
    }

    /// Gives what lies between `from` and `to` to the values being taken.
    fn give(&mut self, bytes: &[u8], from: &mut usize, to: usize) {
        if let Some(piece) = bytes.get(*from..to) {
            for taken in &mut self.taking {
                taken.bytes.push(piece);
            }
        }
        *from = to;
    }

    fn token(&mut self, byte: u8, bytes: &[u8], from: &mut usize, at: usize) {
        if !self.begun && BOM.get(self.bom) == Some(&byte) {
            self.bom += 1;
            return;
        }
        match byte {
            b' ' | b'\t' | b'\r' | b'\n' => {}
            b'{' | b'[' => {
                self.give(bytes, from, at);
                self.open(byte == b'{');
            }
            b'}' | b']' => {
                self.give(bytes, from, at + 1);
                self.close();
            }
            b',' => self.expects_key = self.is_object(),
            b':' => self.expects_key = false,
            b'"' if self.expects_key => {
                self.at = At::String { escaped: false };
                self.key = Some(Vec::new());
            }
            _ => {
                self.give(bytes, from, at);
                self.begin_value(Kind::of(byte));
                self.at = if byte == b'"' {
                    At::String { escaped: false }
                } else {
                    At::Scalar
                };
                // A JSON text of ours is an object or a list.
                self.malformed |= self.depth == 0 || !(byte == b'"' || is_scalar(byte));
            }
        }
    }

    fn is_object(&self) -> bool {
        self.objects.get(self.depth.wrapping_sub(1)) == Some(&true)
    }

    /// The keys that can matter stand in the message and in the two levels below.
    fn is_near(&self) -> bool {
        self.depth > self.base && self.depth <= self.base + DEEPEST
    }

    fn open(&mut self, object: bool) {
        if self.depth == 0 {
            // Something after the end, or a list in a list of messages.
            self.malformed |= self.begun;
            self.begun = true;
            self.base = usize::from(!object);
        } else {
            self.begin_value(if object { Kind::Object } else { Kind::Other });
        }
        if self.depth == self.base && object && self.message.is_none() {
            self.message = Some(Message::default());
        }
        self.objects.truncate(self.depth);
        if self.objects.len() <= DEEPEST + 1 {
            self.objects.push(object);
        }
        self.depth += 1;
        self.expects_key = object && self.is_object();
        if self.is_near() {
            self.path.truncate(self.depth - self.base - 1);
            if !object {
                // Its items have no names, and keys of objects in it are one level further down.
                self.path.push(String::new());
            }
        }
    }

    fn close(&mut self) {
        let Some(depth) = self.depth.checked_sub(1) else {
            self.malformed = true;
            return;
        };
        self.depth = depth;
        self.expects_key = false;
        self.end_value();
        if depth == self.base
            && let Some(message) = self.message.take()
            && self.scan.messages.len() < LARGEST_BATCH
            && self.kept < self.most().saturating_mul(2)
        {
            self.kept = self.kept.saturating_add(message.bytes());
            self.scan.messages.push(message);
        }
    }

    /// How many bytes of long values are kept of a batch. A text that is no batch has but a few of them.
    fn most(&self) -> usize {
        self.cap.saturating_mul(BATCH_BODIES).max(SMALL_BATCH)
    }

    fn push_key(&mut self, bytes: &[u8]) {
        if let Some(key) = &mut self.key {
            let room = (LONGEST_KEY + 1).saturating_sub(key.len());
            key.extend(bytes.iter().take(room));
        }
    }

    fn end_key(&mut self) {
        let key = self.key.take().unwrap_or_default();
        self.expects_key = false;
        if !self.is_near() {
            return;
        }
        self.path.truncate(self.depth - self.base - 1);
        let quoted = [b"\"".as_slice(), &key].concat();
        let key = if key.len() > LONGEST_KEY {
            String::new()
        } else {
            serde_json::from_slice(&quoted).unwrap_or_default()
        };
        self.path.push(key);
    }

    /// A value begins; it is taken if it is one of those that are read.
    fn begin_value(&mut self, kind: Kind) {
        let below = self.depth - self.base.min(self.depth);
        if !self.is_near() || self.path.len() != below || !self.is_object() {
            return;
        }
        let Some(message) = &mut self.message else { return };
        message.forget(&self.path);
        if let Some((field, cap)) = place(&self.path) {
            let room = self.most().saturating_sub(self.kept);
            let cap = match cap {
                Cap::Body => self.cap.min(room),
                Cap::Bytes(bytes) if bytes > SMALL => bytes.min(room),
                Cap::Bytes(bytes) => bytes,
            };
            self.taking.push(Taken {
                field,
                depth: self.depth,
                kind,
                bytes: Taking::new(cap),
            });
        }
    }

    /// A value ended at the present depth.
    fn end_value(&mut self) {
        while let Some(taken) = self.taking.last()
            && taken.depth >= self.depth
            && let Some(taken) = self.taking.pop()
        {
            if let Some(message) = &mut self.message {
                message.set(taken.field, taken.kind, taken.bytes.finish().readable());
            }
        }
    }
}

fn is_scalar(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.')
}

#[cfg(test)]
#[path = "scanner_tests.rs"]
mod tests;
