//! The country of an address: the operator's MaxMind file where there is one, else the table inside the binary.

use std::net::IpAddr;
use std::path::Path;

/// Looks up countries. Without a file it knows what the regional registries assigned (the crate `iptocc`).
#[derive(Debug, Default)]
pub struct Countries {
    file: Option<maxminddb::Reader<Vec<u8>>>,
}

/// The operator's file cannot be used.
#[derive(Debug, thiserror::Error)]
#[error(
    "{path} is not a MaxMind country or city database: {source}; point geoip_file at a .mmdb file or leave it out"
)]
pub struct BadCountryFile {
    path: String,
    source: maxminddb::MaxMindDbError,
}

impl Countries {
    /// Reads the operator's `.mmdb` file (GeoLite2-Country, GeoLite2-City or alike) into memory.
    pub fn from_file(path: &Path) -> Result<Self, BadCountryFile> {
        let file = maxminddb::Reader::open_readfile(path).map_err(|source| BadCountryFile {
            path: path.display().to_string(),
            source,
        })?;
        Ok(Self { file: Some(file) })
    }

    /// ISO 3166-1 alpha-2, or nothing for private, loopback and unassigned addresses.
    pub fn of(&self, address: &str) -> Option<String> {
        let address: IpAddr = address.parse().ok()?;
        let address = address.to_canonical();
        let in_file = self.file.as_ref().and_then(|file| {
            let found = file.lookup(address).ok()?;
            found
                .decode_path::<&str>(&maxminddb::path!["country", "iso_code"])
                .ok()
                .flatten()
        });
        in_file
            .or_else(|| iptocc::country_code(address))
            .map(str::to_owned)
    }
}

/// A header's value, when it is a country: CDNs send `XX` and `T1` for unknown and Tor.
pub(crate) fn valid(code: &str) -> Option<String> {
    let plain = code.len() == 2 && code.bytes().all(|byte| byte.is_ascii_alphabetic());
    (plain && !code.eq_ignore_ascii_case("XX")).then(|| code.to_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_addresses_have_countries() {
        let countries = Countries::default();
        assert_eq!(countries.of("8.8.8.8").as_deref(), Some("US"));
        assert_eq!(countries.of("::ffff:8.8.8.8").as_deref(), Some("US"));
        assert_eq!(countries.of("127.0.0.1"), None);
        assert_eq!(countries.of("10.1.2.3"), None);
        assert_eq!(countries.of("nonsense"), None);
    }

    #[test]
    fn headers_may_hold_no_country() {
        assert_eq!(valid("de").as_deref(), Some("DE"));
        assert_eq!(valid("XX"), None);
        assert_eq!(valid("T1"), None);
    }
}
