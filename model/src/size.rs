//! Sizes in bytes, as people write them.

/// A number of bytes, or one with a unit such as `512MiB`. `K`, `KB` and `KiB` are all 1024 here, as with most tools that
/// bound memory. `None`: it is no size, or larger than the machine counts.
pub fn bytes(text: &str) -> Option<usize> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let number: usize = number.parse().ok()?;
    let power = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        _ => return None,
    };
    number.checked_mul(1 << power)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units_or_not() {
        for (text, expected) in [
            ("1048576", 1 << 20),
            ("512MiB", 512 << 20),
            ("2g", 2 << 30),
            ("3 kb", 3 << 10),
            ("7B", 7),
            (" 0 ", 0),
        ] {
            assert_eq!(bytes(text), Some(expected), "{text}");
        }
        for text in [
            "",
            "much",
            "-1",
            "1.5GiB",
            "12 parsecs",
            "99999999999999999999",
            "9999999999999g",
        ] {
            assert_eq!(bytes(text), None, "{text}");
        }
    }
}
