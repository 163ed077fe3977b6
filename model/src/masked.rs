//! Credentials, cut before anything else touches them.

/// How many characters of an `Authorization` header may be kept.
const KEPT: usize = 10;

/// The first 10 characters, then an ellipsis when anything was cut. Cutting twice cuts no more.
pub fn mask_authorization(value: &str) -> String {
    let mut characters = value.trim().chars();
    let mut kept: String = characters.by_ref().take(KEPT).collect();
    if characters.next().is_some() {
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
        assert_eq!(mask_authorization("ßßßßßßßßßßßß"), "ßßßßßßßßßß…");
    }
}
