//! Credentials, cut before anything else touches them.

/// How many characters of an `Authorization` header may be kept, with its scheme.
const KEPT: usize = 10;
/// Of a credential no more than one character in so many is kept.
const SHARE: usize = 3;
/// Schemes that say nothing but their name when nothing follows them.
const SCHEMES: &[&str] = &["basic", "bearer", "digest", "negotiate", "token"];

/// The scheme and the beginning of the credential: 10 characters at most, and a third of the credential at most, then an
/// ellipsis when anything was cut. Cutting twice cuts no more.
pub fn mask_authorization(value: &str) -> String {
    let value = value.trim();
    let count = value.chars().count();
    if value.ends_with('…') && count <= KEPT + 1 {
        return value.to_owned();
    }
    let (scheme, credential) = match value.split_once([' ', '\t']) {
        Some((scheme, rest)) => (scheme.chars().count() + 1, rest.chars().count()),
        None if SCHEMES.iter().any(|scheme| value.eq_ignore_ascii_case(scheme)) => return value.to_owned(),
        None => (0, count),
    };
    let length = KEPT.min(scheme + credential / SHARE);
    let mut kept: String = value.chars().take(length).collect();
    if length < count {
        kept.push('…');
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::mask_authorization;

    #[test]
    fn never_more_than_ten_characters() {
        assert_eq!(mask_authorization("Bearer sk-very-secret"), "Bearer sk-…");
        assert_eq!(
            mask_authorization(&mask_authorization("Bearer sk-very-secret")),
            "Bearer sk-…"
        );
        assert_eq!(mask_authorization("Basic"), "Basic");
        assert_eq!(mask_authorization(&"ß".repeat(40)), "ßßßßßßßßßß…");
    }

    #[test]
    fn never_more_than_a_third_of_a_credential() {
        let cases = [
            ("Basic dTpw", "Basic d…"),
            ("Bearer a1b", "Bearer a…"),
            ("letmein12", "let…"),
            ("hunter2abc", "hun…"),
            ("0123456789abcdef", "01234…"),
            ("ab", "…"),
            ("", ""),
            ("X-Very-Long-Scheme abc", "X-Very-Lon…"),
        ];
        for (value, masked) in cases {
            assert_eq!(mask_authorization(value), masked);
            assert_eq!(mask_authorization(masked), masked, "cutting twice cuts no more");
        }
    }
}
