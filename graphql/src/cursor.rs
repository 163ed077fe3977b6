//! Cursors: opaque to clients, versioned, and of one kind each, so that a cursor used in the wrong place is told
//! from a wrong one. They hold a position and nothing else, so they are good in another process and after a restart. A
//! checksum tells the ones that were changed on the way; it is no seal, because a position is no secret: whoever makes up a
//! cursor gets to a place that paging leads to as well.

use async_graphql::Error;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mcptap_model::UnixNanos;
use mcptap_store::{
    CallPosition, Figure, LogPosition, PageRequest, Ranked, Ranking, Seq, SessionPosition, Store, Tool,
};

use crate::error::bad_input;

/// Raised when the meaning of the bytes changes, so that old cursors are refused and not misread.
const VERSION: u8 = 2;

/// A position that clients can hold.
pub(crate) trait Cursor: Sized {
    /// Tells the kinds apart.
    const TAG: u8;

    /// The position's bytes.
    fn write(&self, bytes: &mut Vec<u8>);

    /// The position that `bytes` are; `None` when they are none.
    fn read(bytes: &[u8]) -> Option<Self>;

    /// As clients see it.
    fn encode(&self) -> String {
        let mut bytes = vec![VERSION, Self::TAG];
        self.write(&mut bytes);
        bytes.extend_from_slice(&checksum(&bytes).to_be_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The cursor that a client gave back as `argument`.
    fn decode(argument: &str, text: &str) -> Result<Self, Error> {
        let bytes = URL_SAFE_NO_PAD.decode(text).unwrap_or_default();
        match unaltered(&bytes) {
            [VERSION, tag, rest @ ..] if *tag == Self::TAG => Self::read(rest),
            [VERSION, tag, ..] if kind(*tag).is_some() => {
                let (given, wanted) = (
                    kind(*tag).unwrap_or_default(),
                    kind(Self::TAG).unwrap_or_default(),
                );
                return Err(bad_input(format!(
                    "{argument}: this is a cursor of {given}; needed is one of {wanted}"
                )));
            }
            _ => None,
        }
        .ok_or_else(|| bad_input(format!("{argument}: not a cursor that this API gave out")))
    }
}

/// The bytes before the checksum; none when it is not theirs.
fn unaltered(bytes: &[u8]) -> &[u8] {
    match bytes.split_last_chunk::<4>() {
        Some((bytes, sum)) if checksum(bytes).to_be_bytes() == *sum => bytes,
        _ => &[],
    }
}

/// CRC-32: notices every change of up to 32 bits in a row, so every change of a character or a few.
fn checksum(bytes: &[u8]) -> u32 {
    let step = |sum: u32, _| (sum >> 1) ^ (0xedb8_8320 & (sum & 1).wrapping_neg());
    let sum = bytes
        .iter()
        .fold(u32::MAX, |sum, byte| (0..8).fold(sum ^ u32::from(*byte), step));
    !sum
}

/// What the cursors of a tag point into, for messages.
fn kind(tag: u8) -> Option<&'static str> {
    match tag {
        CallPosition::TAG => Some("a list of calls (an edge's or pageInfo's)"),
        Live::TAG => Some("the live feed (liveCursor, or the cursor of a feed event)"),
        LogPosition::TAG => Some("a list of log lines"),
        ServerName::TAG => Some("a list of servers"),
        Tool::TAG => Some("a list of tools"),
        SessionPosition::TAG => Some("a list of sessions"),
        KeyNumber::TAG => Some("a list of API keys"),
        AuditNumber::TAG => Some("the audit"),
        Place::<Tool>::TAG => Some("a list of tools in the order of a figure"),
        Place::<ServerName>::TAG => Some("a list of servers in the order of a figure"),
        _ => None,
    }
}

fn read_numbers(bytes: &[u8]) -> Option<(i64, i64)> {
    let (one, other) = bytes.split_at_checked(8)?;
    let number = |bytes: &[u8]| bytes.try_into().ok().map(i64::from_be_bytes);
    Some((number(one)?, number(other)?))
}

fn write_pair(bytes: &mut Vec<u8>, time: UnixNanos, number: i64) {
    bytes.extend_from_slice(&time.0.to_be_bytes());
    bytes.extend_from_slice(&number.to_be_bytes());
}

fn read_pair(bytes: &[u8]) -> Option<(UnixNanos, i64)> {
    read_numbers(bytes).map(|(time, number)| (UnixNanos(time), number))
}

impl Cursor for CallPosition {
    const TAG: u8 = b'c';

    fn write(&self, bytes: &mut Vec<u8>) {
        write_pair(bytes, self.started_at, self.row);
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        read_pair(bytes).map(|(started_at, row)| Self { started_at, row })
    }
}

impl Cursor for LogPosition {
    const TAG: u8 = b'l';

    fn write(&self, bytes: &mut Vec<u8>) {
        write_pair(bytes, self.time, self.ordinal);
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        read_pair(bytes).map(|(time, ordinal)| Self { time, ordinal })
    }
}

impl Cursor for SessionPosition {
    const TAG: u8 = b'v';

    fn write(&self, bytes: &mut Vec<u8>) {
        write_pair(bytes, self.last_call_at, self.row);
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        read_pair(bytes).map(|(last_call_at, row)| Self { last_call_at, row })
    }
}

/// A position in the live feed, and of which database: numbers alone would fit any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Live {
    database: i64,
    seq: Seq,
}

impl Live {
    /// The position in the store's own feed, as clients see it.
    pub(crate) fn cursor(store: &Store, seq: Seq) -> String {
        let database = store.identity();
        Self { database, seq }.encode()
    }

    /// The cursor that a client gave back as `argument`, if it is a position in the store's own feed.
    pub(crate) fn seq(store: &Store, argument: &str, text: &str) -> Result<Seq, Error> {
        let Self { database, seq } = Self::decode(argument, text)?;
        if database == store.identity() {
            return Ok(seq);
        }
        Err(bad_input(format!(
            "{argument}: this cursor is of another database; take the liveCursor of a page of this one"
        )))
    }
}

impl Cursor for Live {
    const TAG: u8 = b'f';

    fn write(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.database.to_be_bytes());
        bytes.extend_from_slice(&self.seq.0.to_be_bytes());
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let (database, seq) = read_numbers(bytes)?;
        (seq >= 0).then_some(Self {
            database,
            seq: Seq(seq),
        })
    }
}

/// API keys stand in the order in which they were made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeyNumber(pub(crate) i64);

/// Entries of the audit stand newest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AuditNumber(pub(crate) i64);

fn read_number(bytes: &[u8]) -> Option<i64> {
    bytes.try_into().ok().map(i64::from_be_bytes)
}

impl Cursor for KeyNumber {
    const TAG: u8 = b'k';

    fn write(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.0.to_be_bytes());
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        read_number(bytes).map(Self)
    }
}

impl Cursor for AuditNumber {
    const TAG: u8 = b'a';

    fn write(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.0.to_be_bytes());
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        read_number(bytes).map(Self)
    }
}

/// A place in a list that is in the order of a figure, with that order: in another one it means nothing.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Place<T> {
    pub(crate) ranking: Ranking,
    pub(crate) at: Ranked<T>,
}

impl<T> Place<T>
where
    Self: Cursor,
{
    /// The cursor that a client gave back as `argument`, if it is of a list in this order.
    pub(crate) fn of(ranking: Ranking, argument: &str, text: &str) -> Result<Ranked<T>, Error> {
        let place = Self::decode(argument, text)?;
        if place.ranking == ranking {
            return Ok(place.at);
        }
        Err(bad_input(format!(
            "{argument}: this cursor is of a list in another order; ask with the same orderBy"
        )))
    }

    fn write_rank(&self, bytes: &mut Vec<u8>) {
        let by = Figure::ALL.iter().position(|figure| *figure == self.ranking.by);
        bytes.push(by.and_then(|by| u8::try_from(by).ok()).unwrap_or(u8::MAX));
        bytes.push(u8::from(self.ranking.descending));
        bytes.push(u8::from(self.at.figure.is_some()));
        bytes.extend_from_slice(&self.at.figure.unwrap_or_default().to_be_bytes());
    }

    fn read_rank(bytes: &[u8], item: impl Fn(&[u8]) -> Option<T>) -> Option<Self> {
        let [by, descending, known, rest @ ..] = bytes else {
            return None;
        };
        let (figure, rest) = rest.split_first_chunk::<8>()?;
        let figure = f64::from_be_bytes(*figure);
        Some(Self {
            ranking: Ranking {
                by: *Figure::ALL.get(usize::from(*by))?,
                descending: *descending == 1,
            },
            at: Ranked {
                figure: (*known == 1 && figure.is_finite()).then_some(figure),
                item: item(rest)?,
            },
        })
    }
}

impl Cursor for Place<Tool> {
    const TAG: u8 = b'T';

    fn write(&self, bytes: &mut Vec<u8>) {
        self.write_rank(bytes);
        self.at.item.write(bytes);
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        Self::read_rank(bytes, Tool::read)
    }
}

impl Cursor for Place<ServerName> {
    const TAG: u8 = b'S';

    fn write(&self, bytes: &mut Vec<u8>) {
        self.write_rank(bytes);
        self.at.item.write(bytes);
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        Self::read_rank(bytes, ServerName::read)
    }
}

/// Servers stand in the order of their names.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ServerName(pub(crate) String);

impl ServerName {
    /// The page as the store knows it.
    pub(crate) fn names(page: PageRequest<Self>) -> PageRequest<String> {
        let PageRequest {
            first,
            after,
            last,
            before,
        } = page;
        PageRequest {
            first,
            after: after.map(|name| name.0),
            last,
            before: before.map(|name| name.0),
        }
    }
}

/// A name as the store may have it: PostgreSQL takes no text with NUL.
fn kept(name: &[u8]) -> Option<String> {
    let name = std::str::from_utf8(name).ok()?;
    (!name.contains('\0')).then(|| name.to_owned())
}

impl Cursor for ServerName {
    const TAG: u8 = b's';

    fn write(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(self.0.as_bytes());
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        kept(bytes).map(Self)
    }
}

impl Cursor for Tool {
    const TAG: u8 = b't';

    /// The name's length goes first, so that any character may stand in either name.
    fn write(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&(self.name.len() as u64).to_be_bytes());
        bytes.extend_from_slice(self.name.as_bytes());
        bytes.extend_from_slice(self.server.as_bytes());
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let (length, names) = bytes.split_at_checked(8)?;
        let length = usize::try_from(u64::from_be_bytes(length.try_into().ok()?)).ok()?;
        let (name, server) = names.split_at_checked(length)?;
        Some(Self {
            name: kept(name)?,
            server: kept(server)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn live(seq: i64) -> Live {
        Live {
            database: -3,
            seq: Seq(seq),
        }
    }

    #[test]
    fn names_that_the_store_cannot_have_are_none() {
        for name in ["a\0b", "\0"] {
            let server = ServerName(name.into());
            assert!(ServerName::decode("after", &server.encode()).is_err(), "{name:?}");
            let tool = Tool {
                name: "a".into(),
                server: name.into(),
            };
            assert!(Tool::decode("after", &tool.encode()).is_err(), "{name:?}");
        }
    }

    #[test]
    fn positions_survive_text() {
        let call = CallPosition {
            started_at: UnixNanos(-5),
            row: i64::MAX,
        };
        assert_eq!(CallPosition::decode("after", &call.encode()).unwrap(), call);
        assert_eq!(Live::decode("after", &live(7).encode()).unwrap(), live(7));
        let tool = Tool {
            name: "a:é".into(),
            server: "".into(),
        };
        assert_eq!(Tool::decode("after", &tool.encode()).unwrap(), tool);
        for (by, figure) in Figure::ALL
            .into_iter()
            .zip([None, Some(0.0), Some(0.1), Some(1e300)])
        {
            let (ranking, item) = (Ranking { by, descending: true }, tool.clone());
            let at = Ranked { figure, item };
            let text = Place {
                ranking,
                at: at.clone(),
            }
            .encode();
            assert_eq!(Place::of(ranking, "after", &text).unwrap(), at);
            let upwards = Ranking {
                descending: false,
                ..ranking
            };
            let error = Place::<Tool>::of(upwards, "after", &text).unwrap_err().message;
            assert!(error.contains("orderBy"), "{error}");
        }
    }

    #[test]
    fn the_checksum_is_the_usual_one() {
        assert_eq!(checksum(b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn one_other_character_is_another_text_and_not_another_place() {
        let cursor = CallPosition {
            started_at: UnixNanos(1_795_348_800_123_456_789),
            row: 4_711,
        }
        .encode();
        let alphabet = ('A'..='Z')
            .chain('a'..='z')
            .chain('0'..='9')
            .chain(['-', '_', '=', ' ']);
        for character in alphabet {
            for place in 0..=cursor.len() {
                let mut changed = cursor.clone();
                changed.replace_range(place..(place + 1).min(cursor.len()), &character.to_string());
                if changed != cursor {
                    let error = CallPosition::decode("after", &changed).unwrap_err().message;
                    assert_eq!(error, "after: not a cursor that this API gave out", "{changed}");
                }
            }
        }
        for end in 0..cursor.len() {
            assert!(CallPosition::decode("after", &cursor[..end]).is_err());
        }
    }

    #[test]
    fn the_wrong_kind_is_told_from_nonsense() {
        let wrong = CallPosition::decode("before", &live(7).encode())
            .unwrap_err()
            .message;
        assert!(
            wrong.starts_with("before: this is a cursor of the live feed"),
            "{wrong}"
        );
        let whole = |bytes: &[u8]| {
            let sum = checksum(bytes).to_be_bytes();
            URL_SAFE_NO_PAD.encode([bytes, &sum].concat())
        };
        let cursor =
            |version: u8, rest: &[u8]| whole(&[&[version, b'f', 0, 0, 0, 0, 0, 0, 0, 1], rest].concat());
        let old = cursor(0, &[0; 8]);
        let long = cursor(VERSION, &[0; 9]);
        let negative = cursor(VERSION, &[255, 0, 0, 0, 0, 0, 0, 0]);
        for text in ["", "x", "!!", "AWY", &old, &long, &negative] {
            let error = Live::decode("after", text).unwrap_err().message;
            assert_eq!(error, "after: not a cursor that this API gave out", "{text}");
        }
    }
}
