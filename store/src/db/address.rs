//! Database URLs: understood once, and shown without what is secret in them.

use std::path::PathBuf;
use std::str::FromStr;

use sea_orm::sqlx::postgres::PgConnectOptions;
use sea_orm::sqlx::sqlite::SqliteConnectOptions;

use crate::Error;

/// The text in place of a secret.
const MASK: &str = "[redacted]";

/// Parameters of a PostgreSQL URL that the driver knows, and whose values are no secrets.
const KNOWN: [&str; 18] = [
    "application_name",
    "dbname",
    "host",
    "hostaddr",
    "options",
    "port",
    "ssl-ca",
    "ssl-cert",
    "ssl-key",
    "ssl-mode",
    "ssl-root-cert",
    "sslcert",
    "sslkey",
    "sslmode",
    "sslrootcert",
    "statement-cache-capacity",
    "user",
    "pgbouncer",
];

/// Parameters that libpq knows and the driver does not; hosters write some of them into the URLs they hand out. They are
/// left out, since the driver would print them into the log, also those that are secret.
const LIBPQ: [&str; 17] = [
    "channel_binding",
    "client_encoding",
    "connect_timeout",
    "fallback_application_name",
    "gssencmode",
    "keepalives",
    "keepalives_count",
    "keepalives_idle",
    "keepalives_interval",
    "krbsrvname",
    "load_balance_hosts",
    "passfile",
    "sslcompression",
    "sslcrl",
    "ssl_min_protocol_version",
    "target_session_attrs",
    "tcp_user_timeout",
];

/// How connections to PostgreSQL may be encrypted.
const SSL_MODES: [&str; 6] = [
    "disable",
    "allow",
    "prefer",
    "require",
    "verify-ca",
    "verify-full",
];

/// The advice about a mode that is none.
const SSL: &str = "use one of sslmode=disable, allow, prefer, require, verify-ca or verify-full, such as \
    postgres://user@host/name?sslmode=verify-full";
/// The advice about an unknown parameter.
const PARAMETERS: &str = "a parameter after the ? is unknown; leave it out, or correct its name, as in \
    postgres://user@host/name?sslmode=verify-full";
/// The advice about a file's URL.
const FILE: &str = "use sqlite://mcptap.db?mode=rwc; mode is ro, rw, rwc or memory, and beside it there are cache \
    (shared or private), immutable and vfs";
/// The advice about a URL of no use.
const USE: &str = "use sqlite://mcptap.db?mode=rwc or postgres://user@host/name";
/// The advice about a URL whose user or password has a character that ends it there.
const CUT_OFF: &str = "its user or password has a /, ? or # in it, which ends it there; percent-encode every character of both \
    that is no letter or digit (/ is %2F, ? is %3F, # is %23, @ is %40, : is %3A, % is %25), as in \
    postgres://user:password@host:5432/name";
/// The advice about a PostgreSQL URL of no use.
const ENCODE: &str = "use postgres://user:password@host:5432/name?sslmode=verify-full, with every character of user, \
    password and name that is no letter or digit percent-encoded (@ is %40, / is %2F, ? is %3F, : is %3A, # is %23, % is %25)";

/// Which database a URL names.
pub(crate) enum Address {
    /// A file of SQLite.
    File(Box<SqliteConnectOptions>),
    /// A database of SQLite in memory.
    Memory,
    /// A server of PostgreSQL.
    Server {
        /// How to connect.
        connect: Box<PgConnectOptions>,
        /// Whether the URL says that PgBouncer in transaction mode is in between (`pgbouncer=true`).
        pooled: bool,
    },
}

impl Address {
    /// Understands a URL.
    pub(crate) fn parse(url: &str) -> Result<Self, Error> {
        let refuse = |advice| Error::Url {
            shown: shown(url),
            advice,
        };
        match scheme(url) {
            Some("sqlite") => {
                // Errors would quote its path, which has a password in it.
                if Parts::of(url).is_none() {
                    return Err(refuse(FILE));
                }
                let connect = SqliteConnectOptions::from_str(url).map_err(|_| refuse(FILE))?;
                if url.contains(":memory:") || parameter(url, "mode") == Some("memory") {
                    return Ok(Self::Memory);
                }
                if connect.get_filename() == PathBuf::new() {
                    return Err(refuse(USE));
                }
                Ok(Self::File(Box::new(connect)))
            }
            Some("postgres" | "postgresql") => {
                if is_cut_off(url) {
                    return Err(refuse(CUT_OFF));
                }
                let parts = Parts::of(url).ok_or_else(|| refuse(ENCODE))?;
                let mut pooled = false;
                let mut kept = Vec::new();
                let mut left_out = Vec::new();
                for (key, value) in parts.parameters() {
                    match key {
                        "pgbouncer" => match value {
                            "true" | "false" => pooled = value == "true",
                            _ => return Err(refuse("give pgbouncer=true or pgbouncer=false")),
                        },
                        "password" => kept.push(format!("{key}={value}")),
                        _ if KNOWN.contains(&key) || key.starts_with("options[") => {
                            kept.push(format!("{key}={value}"));
                        }
                        _ => match LIBPQ.iter().find(|name| **name == key) {
                            Some(name) => left_out.push(*name),
                            None => return Err(refuse(PARAMETERS)),
                        },
                    }
                }
                if !left_out.is_empty() {
                    tracing::debug!(parameters = left_out.join(", "), "not used of the database's URL");
                }
                let understood = match kept.is_empty() {
                    true => parts.before.to_owned(),
                    false => format!("{}?{}", parts.before, kept.join("&")),
                };
                let modes = parts
                    .parameters()
                    .filter(|(key, _)| ["sslmode", "ssl-mode"].contains(key));
                if modes.into_iter().any(|(_, mode)| !SSL_MODES.contains(&mode)) {
                    return Err(refuse(SSL));
                }
                let connect = PgConnectOptions::from_str(&understood).map_err(|_| refuse(ENCODE))?;
                Ok(Self::Server {
                    connect: Box::new(connect),
                    pooled,
                })
            }
            _ => Err(refuse(USE)),
        }
    }
}

/// Fails with [`Error::Url`] where a URL names no database, or has a parameter that would be wrong or ignored. Connects to
/// nothing.
pub fn check_url(url: &str) -> Result<(), Error> {
    Address::parse(url).map(drop)
}

/// Whether the user or the password in a URL has a character that ends it: then the `@` behind it stands in another part.
pub fn is_cut_off(url: &str) -> bool {
    let Some((_, rest)) = url.split_once("://") else {
        return false;
    };
    let (server, behind) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    if server.contains('@') || !behind.contains('@') {
        return false;
    }
    // Without a user an @ may be part of the value of a parameter.
    let (path, query) = behind.split_once('?').unwrap_or((behind, ""));
    let port = server.rsplit_once(':').map_or("", |(_, port)| port);
    let is_server = server.ends_with(']') || port.bytes().all(|byte| byte.is_ascii_digit());
    let is_parameter = |pair: &str| {
        let key = pair.split_once('=').map(|(key, _)| key);
        key.is_some_and(|key| {
            ["password", "pgbouncer"].contains(&key) || KNOWN.contains(&key) || LIBPQ.contains(&key)
        })
    };
    !is_server
        || path.contains('@')
        || query
            .split('&')
            .any(|pair| pair.contains('@') && !is_parameter(pair))
}

/// The value of a parameter of a URL, as it is written.
pub(crate) fn parameter<'u>(url: &'u str, name: &str) -> Option<&'u str> {
    let parts = Parts::of(url)?;
    parts
        .parameters()
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value)
}

/// The parameters of a URL, decoded.
pub(crate) fn parameters(url: &str) -> Vec<(String, String)> {
    let parts = Parts::of(url).and_then(|parts| parts.parameters);
    let decoded = form_urlencoded::parse(parts.unwrap_or_default().as_bytes());
    decoded.into_owned().collect()
}

/// A URL as it may be shown: without a password, whatever is wrong with it. What cannot be told from a password is not
/// shown either.
pub fn shown(url: &str) -> String {
    let Some(scheme) = scheme(url) else {
        return "…".to_owned();
    };
    let Some(parts) = Parts::of(url) else {
        return format!("{scheme}://…");
    };
    let mut text = match scheme {
        "sqlite" => match url.split_once('?') {
            // A file has no user, and its name no secret.
            Some((file, _)) => file.to_owned(),
            None => url.to_owned(),
        },
        _ => {
            let user = match parts.user.split_once(':') {
                Some((user, _)) => format!("{user}:{MASK}@"),
                None if parts.user.is_empty() => String::new(),
                None => format!("{}@", parts.user),
            };
            format!("{scheme}://{user}{}", parts.place)
        }
    };
    for (number, (key, value)) in parts.parameters().enumerate() {
        text.push(if number == 0 { '?' } else { '&' });
        let shows = match scheme {
            "sqlite" => ["mode", "cache", "immutable", "vfs"].contains(&key),
            _ => KNOWN.contains(&key) && key != "options",
        };
        match (shows, key) {
            (true, _) => text.push_str(&format!("{key}={value}")),
            (false, "password" | "sslpassword" | "options") => text.push_str(&format!("{key}={MASK}")),
            (false, _) => text.push('…'),
        }
    }
    text
}

/// The scheme, if it is one that is known: what stands before the first colon may be anything otherwise.
fn scheme(url: &str) -> Option<&str> {
    const SCHEMES: [&str; 10] = [
        "sqlite",
        "postgres",
        "postgresql",
        "mysql",
        "mariadb",
        "mssql",
        "sqlserver",
        "mongodb",
        "http",
        "https",
    ];
    let (scheme, _) = url.split_once(':')?;
    SCHEMES.contains(&scheme).then_some(scheme)
}

/// The parts of a well-formed URL.
struct Parts<'a> {
    /// All before the parameters.
    before: &'a str,
    /// User and password as they are written.
    user: &'a str,
    /// Host, port and path.
    place: &'a str,
    parameters: Option<&'a str>,
}

impl<'a> Parts<'a> {
    /// `None` where it is not sure what is a password: one with a `/`, `?`, `#` or `%` that is not encoded ends up in
    /// another part.
    fn of(url: &'a str) -> Option<Self> {
        let (scheme, _) = url.split_once(':')?;
        let (before, parameters) = match url.split_once('?') {
            Some((before, parameters)) => (before, Some(parameters)),
            None => (url, None),
        };
        if scheme == "sqlite" {
            return Some(Self {
                before,
                user: "",
                place: "",
                parameters,
            })
            .filter(|_| {
                let path = before.get(scheme.len()..).unwrap_or_default();
                let user = path.strip_prefix("://").filter(|rest| !rest.starts_with('/'));
                !user.is_some_and(|rest| rest.contains('@') && rest.contains(':'))
                    && parameters.is_none_or(|all| !all.contains('@'))
            });
        }
        let rest = before.get(scheme.len()..)?.strip_prefix("://")?;
        let (authority, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
        let whole = !url.contains(['#', ' ', '\\', '"', '\n', '\t'])
            && !path.contains(['@', ':'])
            && parameters.is_none_or(|all| !all.contains('@'))
            && is_encoded(url)
            && is_host(host);
        whole.then_some(Self {
            before,
            user,
            place: rest.get(rest.len() - host.len() - path.len()..)?,
            parameters,
        })
    }

    fn parameters(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        let all = self.parameters.unwrap_or_default();
        all.split('&')
            .filter(|one| !one.is_empty())
            .map(|one| one.split_once('=').unwrap_or((one, "")))
    }
}

/// Whether every `%` begins an encoded byte.
fn is_encoded(text: &str) -> bool {
    text.match_indices('%').all(|(at, _)| {
        text.get(at + 1..at + 3)
            .is_some_and(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
    })
}

/// Whether a text is a host with or without a port, and not the half of something else.
fn is_host(text: &str) -> bool {
    let (name, port) = match text.rsplit_once(':') {
        // An address of IPv6 has colons of its own.
        Some((name, port)) if !port.contains(']') => (name, Some(port)),
        _ => (text, None),
    };
    let bracketed = name.starts_with('[') && name.ends_with(']');
    port.is_none_or(|port| port.is_empty() || port.parse::<u16>().is_ok())
        && (bracketed || !name.contains([':', '[', ']']))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Neither a host, a user nor a port by accident.
    const SECRET: &str = "hunter2secret";

    fn error(url: &str) -> String {
        match Address::parse(url) {
            Ok(_) => String::new(),
            Err(error) => format!("{error} {error:?}"),
        }
    }

    #[test]
    fn what_is_no_secret_is_shown() {
        for (url, expected) in [
            ("sqlite://mcptap.db?mode=rwc", "sqlite://mcptap.db?mode=rwc"),
            ("sqlite:///var/lib/a:b@c.db", "sqlite:///var/lib/a:b@c.db"),
            (
                "postgres://me:hunter2@db.example/calls",
                "postgres://me:[redacted]@db.example/calls",
            ),
            (
                "postgresql://me@[::1]:5433/calls?sslmode=verify-full",
                "postgresql://me@[::1]:5433/calls?sslmode=verify-full",
            ),
            (
                "postgres://db/calls?user=me&password=hunter2",
                "postgres://db/calls?user=me&password=[redacted]",
            ),
            ("postgres://%2Fvar%2Frun/calls", "postgres://%2Fvar%2Frun/calls"),
            ("mysql://me:hunter2@db/calls", "mysql://me:[redacted]@db/calls"),
            ("host=db user=me password=hunter2", "…"),
            ("", "…"),
        ] {
            assert_eq!(shown(url), expected, "{url}");
        }
    }

    #[test]
    fn every_bad_form_keeps_the_secret() {
        for url in [
            "mysql://u:hunter2secret@host/db",
            "postgres://u:hunter2secret@host:port/db",
            "postgres://u:hunter2secret@host:99999/db",
            "postgres://u:hunter2secret%zz@host/db",
            "postgres://u:hunter2secret/x@host/db",
            "postgres://u:x/hunter2secret@host/db",
            "postgres://u:1/hunter2secret@host/db",
            "postgres://u:x?hunter2secret@host/db",
            "postgres://u:1?hunter2secret@host/db",
            "postgres://u:x#hunter2secret@host/db",
            "postgres://u:hunter2secret @host/db",
            "postgres://u:hunter2secret@host/db?sslmode=maybe",
            "postgres:/u:hunter2secret@host/db",
            "postgres:u:hunter2secret@host/db",
            "postgresq://u:hunter2secret@host/db",
            "u:hunter2secret@host/db",
            "host=db password=hunter2secret",
            "password='hunter2secret' host=db",
            "postgres://host/db?password=hunter2secret&sslmode=nope",
            "postgres://host/db?sslpassword=hunter2secret&port=x",
            "postgres://host/db?hunter2secret",
            "postgres://u:a@hunter2secret@host:x/db",
            "sqlite://u:hunter2secret@host/db?mode=bad",
            "sqlite:x.db?password=hunter2secret",
            "hunter2secret:x",
            "hunter2secret",
        ] {
            assert!(!shown(url).contains(SECRET), "{url}: {}", shown(url));
            assert!(!error(url).contains(SECRET), "{url}: {}", error(url));
        }
    }

    #[test]
    fn a_password_that_is_cut_off_is_told_to_be_encoded() {
        for (password, parts) in [
            ("q9x?z7k", ["q9x", "z7k"]),
            ("q9x#z7k", ["q9x", "z7k"]),
            ("q9x/z7k", ["q9x", "z7k"]),
            ("1?z7k", ["z7k", "1?"]),
            ("5432/z7k", ["z7k", "5432/z"]),
            ("q9x?z7k=c", ["q9x", "z7k"]),
            ("z7k#", ["z7k", "k#"]),
            ("q9x:a/z7k@s", ["q9x", "z7k"]),
        ] {
            for rest in ["host/db", "host:5432/db?sslmode=require", "[::1]/db"] {
                let url = format!("postgres://u:{password}@{rest}");
                let told = error(&url);
                for part in ["%2F", "%3F", "%23", "percent-encode", "password"] {
                    assert!(told.contains(part), "{url}: {told}");
                }
                assert!(parts.iter().all(|part| !told.contains(part)), "{url}: {told}");
            }
        }
        assert!(!is_cut_off("postgres://u:p%3Fw@host/db?sslmode=require"));
        assert!(!is_cut_off("postgres://u:p:w@[::1]:5432"));
        for url in [
            "postgres://u:p@host/db?application_name=a@b",
            "postgres://u:p@host/db@x",
            "postgres://host:5432/db?user=me@server&password=p@q",
            "postgres://[::1]/db?user=me@server",
            "postgres:///db?host=/run/a@b",
        ] {
            assert!(!is_cut_off(url), "{url}");
        }
    }

    #[test]
    fn what_hosters_write_into_urls_is_understood() {
        let url =
            "postgresql://u:p%40ss@ep-x.neon.tech/db?sslmode=require&channel_binding=require&pgbouncer=true";
        let Ok(Address::Server { connect, pooled }) = Address::parse(url) else {
            panic!("{}", error(url));
        };
        assert_eq!(connect.get_host(), "ep-x.neon.tech");
        assert!(pooled);
    }

    #[test]
    fn a_parameter_that_would_be_ignored_is_refused() {
        for good in [
            "postgres://u@db/x?sslmode=verify-full&application_name=a&options[search_path]=b",
            "postgres://u@db/x?connect_timeout=5&target_session_attrs=read-write&pgbouncer=false",
            "sqlite://x.db?mode=rwc&cache=private",
            "sqlite::memory:",
        ] {
            assert_eq!(error(good), "", "{good}");
        }
        for (wrong, advice) in [
            ("postgres://u@db/x?sslmode=nonsense", "verify-full"),
            ("postgres://u@db/x?sslmode=", "verify-full"),
            ("postgres://u@db/x?sslmod=require", "unknown"),
            ("postgres://u@db/x?nope", "unknown"),
            ("postgres://u@db/x?pgbouncer=maybe", "pgbouncer=true"),
            ("postgres://u@db/x?port=x", "percent-encoded"),
            ("sqlite://x.db?mode=nope", "rwc"),
            ("sqlite://u:hunter2secret@host/db", "sqlite://mcptap.db"),
            ("sqlite://x.db?mode=rwc&nope=1", "immutable"),
            ("sqlite://x.db?mode=memory&nope=1", "immutable"),
        ] {
            assert!(error(wrong).contains(advice), "{wrong}: {}", error(wrong));
        }
    }

    proptest! {
        /// Wherever a password stands in the place of one, it is never shown, and no error quotes it.
        #[test]
        fn a_password_is_never_shown(
            scheme in "(sqlite|postgres|postgresql|mysql|postgress|)",
            separator in "(://|:/|:|//|)",
            before in "[a-z0-9/?#%@: ]{0,6}",
            after in "[a-z0-9/?#%@: ]{0,6}",
            host in "(db|db:5432|db:x|\\[::1\\]|)",
            rest in "(/name|/name\\?sslmode=require|/name\\?sslmode=x|\\?a=b|)",
        ) {
            let url = format!("{scheme}{separator}u:{before}{SECRET}{after}@{host}{rest}");
            // A path of SQLite is not a place for a password.
            let path = scheme == "sqlite" && separator != "://";
            prop_assert!(path || !shown(&url).contains(SECRET), "{url}: {}", shown(&url));
            prop_assert!(path || !error(&url).contains(SECRET), "{url}: {}", error(&url));
        }

        #[test]
        fn nor_is_one_among_the_parameters(
            key in "(password|sslpassword|[a-z]{1,6})",
            more in "(|&sslmode=x|&port=x|&%zz)",
        ) {
            prop_assume!(!KNOWN.contains(&key.as_str()));
            let url = format!("postgres://u@db/name?{key}={SECRET}{more}");
            prop_assert!(!shown(&url).contains(SECRET), "{}", shown(&url));
            prop_assert!(!error(&url).contains(SECRET), "{}", error(&url));
        }
    }
}
