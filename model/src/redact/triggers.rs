//! What the automaton looks for, and what may begin there.

use super::contexts::CONTEXTS;
use super::lines::PORTS;
use super::names::{self, Kind};
use super::options;
use super::patterns::{AROUND, PATTERNS};
use super::rules::{Found, NAMED};
use super::shapes::SHAPES;
use super::source::LOGINS;

/// What may begin where the automaton stops.
#[derive(Clone, Copy, Debug)]
pub(super) enum Trigger {
    Name(Kind, Found),
    Shape(usize, &'static str),
    Pattern(usize),
    Context(usize),
    Around(usize),
    CurlUser,
    Option(usize),
    /// A call that is given a user and a password.
    Login(usize),
    /// A port between two colons.
    Port,
    /// A row of SQL.
    Insert,
    /// A line of `.netrc`, whose ends of lines may be escaped.
    Machine,
    /// The host of an address that is written behind a password without its scheme.
    Dsn,
    /// An attribute that only cookies have.
    HttpOnly,
    /// A line in which a client logs in.
    Wire,
    /// A program that reads a password from a pipe.
    Pipe,
    /// A line of a file of cookies.
    Jar,
    /// Columns that are escaped in a string.
    Columns,
    /// A key of PuTTY, of `ssh.com`, or one that is encoded as a whole.
    Putty,
    Ssh2,
    EncodedKey,
    /// The name of a field of a log line that holds another's name.
    Label,
    /// The kind of a document of Kubernetes.
    Manifest,
    /// A member of a key in JSON, or one that marks a value as a secret.
    KeyType,
    Scheme,
    Url,
    PrivateKey,
    KeyEnd,
    WebToken,
    Telegram,
    Signature,
    /// An escape of JSON that hides what everybody else writes plainly.
    Escape,
    /// The same in addresses and in HTML, where there is something to hide.
    Encoding,
    /// A URL, encoded.
    Hidden,
}

/// What the automaton looks for when the operator adds nothing.
pub(super) fn built_in() -> (Vec<String>, Vec<Trigger>) {
    let named = Found::BuiltIn(NAMED);
    let names = names::all().map(|(name, kind)| (name, Trigger::Name(kind, named)));
    let shapes = SHAPES.iter().enumerate().flat_map(|(index, shape)| {
        let prefixes = shape.prefixes.iter();
        prefixes.map(move |prefix| ((*prefix).to_owned(), Trigger::Shape(index, prefix)))
    });
    let others = [
        ("bearer", Trigger::Scheme),
        ("basic", Trigger::Scheme),
        // Of mail.
        ("auth plain", Trigger::Scheme),
        ("auth login", Trigger::Scheme),
        ("://", Trigger::Url),
        ("-----BEGIN ", Trigger::PrivateKey),
        ("-----END ", Trigger::KeyEnd),
        ("eyJ", Trigger::WebToken),
        (":AA", Trigger::Telegram),
        ("sig=", Trigger::Signature),
        ("signature=", Trigger::Signature),
        (" -u", Trigger::CurlUser),
        (" --proxy-user ", Trigger::CurlUser),
        (" --user ", Trigger::CurlUser),
        (" --user=", Trigger::CurlUser),
        ("\\u00", Trigger::Escape),
        ("\\/", Trigger::Escape),
        ("\\x", Trigger::Escape),
        ("\\042", Trigger::Escape),
        // The first letters of names of secrets in other languages, and the colon of Chinese and Japanese.
        ("\\u5bc6", Trigger::Escape),
        ("\\u30d1", Trigger::Escape),
        ("\\u043f", Trigger::Escape),
        ("\\ube44", Trigger::Escape),
        ("\\u0142", Trigger::Escape),
        ("\\uff1a", Trigger::Escape),
        ("\\u200", Trigger::Escape),
        ("\\u2060", Trigger::Escape),
        ("\\ufeff", Trigger::Escape),
        // Characters that nobody sees.
        ("\0", Trigger::Escape),
        ("\u{ad}", Trigger::Escape),
        ("\u{200b}", Trigger::Escape),
        ("\u{200c}", Trigger::Escape),
        ("\u{200d}", Trigger::Escape),
        ("\u{2060}", Trigger::Escape),
        ("\u{feff}", Trigger::Escape),
        ("&amp;quot;", Trigger::Encoding),
        ("&amp;lt;", Trigger::Encoding),
        ("&amp;#", Trigger::Encoding),
        ("&amp;amp;", Trigger::Encoding),
        ("private-lines: ", Trigger::Putty),
        ("---- BEGIN SSH2 ", Trigger::Ssh2),
        ("LS0tLS1CRUdJTi", Trigger::EncodedKey),
        ("kind: secret", Trigger::Manifest),
        ("kind: \"secret", Trigger::Manifest),
        ("kind: 'secret", Trigger::Manifest),
        ("label=", Trigger::Label),
        ("kty", Trigger::KeyType),
        ("sensitive", Trigger::KeyType),
        ("issecret", Trigger::KeyType),
        ("is_secret", Trigger::KeyType),
        ("x-secret", Trigger::KeyType),
        ("insert into ", Trigger::Insert),
        ("replace into ", Trigger::Insert),
        ("ignore into ", Trigger::Insert),
        ("overwrite into ", Trigger::Insert),
        ("httponly", Trigger::HttpOnly),
        ("auth ", Trigger::Wire),
        ("pass ", Trigger::Wire),
        (" login ", Trigger::Wire),
        ("--password-stdin", Trigger::Pipe),
        ("chpasswd", Trigger::Pipe),
        ("sudo -s", Trigger::Pipe),
        ("\ttrue\t", Trigger::Jar),
        ("\tfalse\t", Trigger::Jar),
        ("\\ttrue\\", Trigger::Columns),
        ("\\tfalse\\", Trigger::Columns),
        ("machine ", Trigger::Machine),
        ("@tcp(", Trigger::Dsn),
        ("@unix(", Trigger::Dsn),
        ("@//", Trigger::Dsn),
        (":thin:", Trigger::Dsn),
        (":pserver:", Trigger::Dsn),
        ("%22", Trigger::Encoding),
        ("%25", Trigger::Encoding),
        ("%3a%2f%2f", Trigger::Hidden),
        ("&lt;", Trigger::Encoding),
        ("%3d", Trigger::Encoding),
        ("%3a", Trigger::Encoding),
        ("%2f", Trigger::Encoding),
        ("%40", Trigger::Encoding),
        ("%20", Trigger::Encoding),
        ("&quot;", Trigger::Encoding),
        ("&#", Trigger::Encoding),
        // Colours of a terminal.
        ("\u{1b}[", Trigger::Encoding),
        ("\u{1b}]8;", Trigger::Encoding),
        ("\\e[", Trigger::Encoding),
        ("\\033[", Trigger::Encoding),
        ("^[[", Trigger::Encoding),
    ];
    let patterns = PATTERNS
        .iter()
        .enumerate()
        .map(|(index, pattern)| (pattern.prefix.to_owned(), Trigger::Pattern(index)));
    let contexts = CONTEXTS.iter().enumerate().flat_map(|(index, (names, _))| {
        names
            .iter()
            .map(move |name| ((*name).to_owned(), Trigger::Context(index)))
    });
    let around = AROUND
        .iter()
        .enumerate()
        .map(|(index, (_, part))| ((*part).to_owned(), Trigger::Around(index)));
    let programs = options::programs()
        .enumerate()
        .map(|(index, name)| (name.to_owned(), Trigger::Option(index)));
    let logins = LOGINS
        .iter()
        .enumerate()
        .map(|(index, (call, ..))| ((*call).to_owned(), Trigger::Login(index)));
    let ports = PORTS.iter().map(|port| ((*port).to_owned(), Trigger::Port));
    // Letters that nobody encodes but to hide them.
    let letters = (b'0'..=b'z')
        .filter(u8::is_ascii_alphanumeric)
        .map(|letter| (format!("%{letter:02x}"), Trigger::Escape));
    names
        .chain(programs)
        .chain(logins)
        .chain(ports)
        .chain(letters)
        .chain(shapes)
        .chain(around)
        .chain(patterns)
        .chain(contexts)
        .chain(others.map(|(text, trigger)| (text.to_owned(), trigger)))
        .unzip()
}
