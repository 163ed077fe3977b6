//! The address that messages are posted to on HTTP+SSE (protocol 2024-11-05): the stream announces it, in any form.

/// Characters of a path or a query that stand for themselves. Others are written as clients write them.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'"' | b'<' | b'>' | b'`')
}

/// The path and query that a reference means which a stream at `base` announced (RFC 3986, 5.2). Its host may be any:
/// the server's own, while the client came by a proxy.
pub(crate) fn resolve(base: &str, reference: &str) -> String {
    let reference = reference.trim();
    let reference = reference.split('#').next().unwrap_or_default();
    let (base_path, base_query) = parts(base);
    let after_host = |rest: &str| {
        let at = rest.find(['/', '?']).unwrap_or(rest.len());
        rest.get(at..).unwrap_or_default().to_owned()
    };
    let local = match reference.split_once("://") {
        Some((scheme, rest)) if is_scheme(scheme) => after_host(rest),
        _ => match reference.strip_prefix("//") {
            Some(rest) => after_host(rest),
            None if reference.is_empty() => return normal(base_path, base_query),
            None => {
                let (path, query) = parts(reference);
                let path = match path {
                    "" => base_path.to_owned(),
                    path if path.starts_with('/') => path.to_owned(),
                    path => {
                        let above = base_path.rfind('/').map_or(0, |slash| slash + 1);
                        format!("{}{path}", base_path.get(..above).unwrap_or_default())
                    }
                };
                return normal(&path, query);
            }
        },
    };
    let (path, query) = parts(&local);
    normal(path, query)
}

/// The same of an address that is one of this host's already.
pub(crate) fn target(path_and_query: &str) -> String {
    let (path, query) = parts(path_and_query);
    normal(path, query)
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text
            .chars()
            .all(|character| character.is_ascii_alphanumeric() || "+-.".contains(character))
}

fn parts(address: &str) -> (&str, Option<&str>) {
    match address.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (address, None),
    }
}

fn normal(path: &str, query: Option<&str>) -> String {
    let mut segments: Vec<&str> = Vec::new();
    let mut rest = path
        .split('/')
        .skip(usize::from(path.starts_with('/')))
        .peekable();
    while let Some(segment) = rest.next() {
        let is_last = rest.peek().is_none();
        match segment {
            "." => {}
            ".." => {
                segments.pop();
            }
            segment => {
                segments.push(segment);
                continue;
            }
        }
        if is_last {
            segments.push("");
        }
    }
    let mut address = String::new();
    for segment in segments {
        address.push('/');
        push_plain(&mut address, segment);
    }
    if address.is_empty() {
        address.push('/');
    }
    if let Some(query) = query {
        address.push('?');
        push_plain(&mut address, query);
    }
    address
}

fn push_plain(address: &mut String, text: &str) {
    for byte in text.bytes() {
        if is_plain(byte) {
            address.push(char::from(byte));
        } else {
            address.push_str(&format!("%{byte:02X}"));
        }
    }
}

/// The session that a query names.
pub(crate) fn query_session(query: &str) -> Option<String> {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let mut ids = pairs.filter(|(name, id)| is_session_name(name) && !id.is_empty());
    ids.next().map(|(_, id)| id.to_owned())
}

/// `session_id`, `sessionId`, `sessionID` and the like.
fn is_session_name(name: &str) -> bool {
    let letters = name.bytes().filter(|byte| !matches!(byte, b'_' | b'-'));
    letters.map(|byte| byte.to_ascii_lowercase()).eq(*b"sessionid")
}

/// The session that an announced address names: a parameter that says so, else what looks like an id at its end.
pub(crate) fn address_session(address: &str) -> Option<String> {
    let (path, query) = parts(address);
    let named = query.and_then(query_session);
    let looks_like_id = |text: &&str| {
        text.len() >= 8 && text.bytes().any(|byte| byte.is_ascii_digit()) && !text.contains('.')
    };
    named
        .or_else(|| {
            let (_, value) = query?.rsplit('&').next()?.split_once('=')?;
            Some(value).filter(looks_like_id).map(str::to_owned)
        })
        .or_else(|| {
            let last = path.trim_end_matches('/').rsplit('/').next();
            last.filter(looks_like_id).map(str::to_owned)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_form_of_address_is_one_target() {
        for (base, reference, expected) in [
            ("/sse", "/messages?session_id=a", "/messages?session_id=a"),
            ("/sse?x=1", "messages", "/messages"),
            ("/a/b/sse", "messages/7?x", "/a/b/messages/7?x"),
            ("/a/b/", "../m/./n/", "/a/m/n/"),
            ("/a/b/sse", "../../..", "/"),
            ("/a/sse?x=1", "?s=2", "/a/sse?s=2"),
            ("/a/sse?x=1", "", "/a/sse?x=1"),
            ("/sse", "http://127.0.0.1:8000/m?s=1#part", "/m?s=1"),
            ("/sse", "HTTPS://[::1]", "/"),
            ("/sse", "//other:80/m", "/m"),
            ("/sse", "https://host?s=1", "/?s=1"),
            ("/sse", " /m?to=http://x/y\r\n", "/m?to=http://x/y"),
            ("/sse", "/m s/é", "/m%20s/%C3%A9"),
        ] {
            assert_eq!(resolve(base, reference), expected, "{base} {reference}");
            assert_eq!(target(expected), expected);
        }
    }

    #[test]
    fn a_session_may_stand_anywhere_in_the_address() {
        for (address, session) in [
            ("/m?a=1&sessionId=s-2", Some("s-2")),
            ("/m?session_id=s-3", Some("s-3")),
            ("/m?SessionID=s-4", Some("s-4")),
            ("/m?session_id=&x", None),
            ("/m?conn=0123abcdef", Some("0123abcdef")),
            ("/messages/0123abcdef/", Some("0123abcdef")),
            ("/messages", None),
            ("/v2", None),
            ("/messages/index.1.html", None),
        ] {
            assert_eq!(address_session(address).as_deref(), session, "{address}");
        }
    }
}
