//! How much memory a decoder takes, read from how its data begins.

/// The largest window of zstd that is decoded, as a power of two: what RFC 9659 allows over HTTP.
#[cfg(feature = "zstd")]
pub(super) const LARGEST_ZSTD_WINDOW: u32 = 23;

/// The window of brotli data (RFC 7932, 9.1), in bytes.
#[cfg(feature = "brotli")]
pub(super) fn brotli(first: &[u8]) -> usize {
    let byte = first.first().copied().unwrap_or(u8::MAX);
    let bits = match (byte & 1, byte >> 1 & 7, byte >> 4 & 7) {
        (0, _, _) => 16,
        (_, 0, 0) => 17,
        // A large window, which is refused.
        (_, 0, 1) => 10,
        (_, 0, more) => 8 + u32::from(more),
        (_, more, _) => 17 + u32::from(more),
    };
    1 << bits
}

/// The window of a zstd frame, in bytes: the largest where the beginning does not contain it.
#[cfg(feature = "zstd")]
pub(super) fn zstd(first: &[u8]) -> usize {
    let largest = 1 << LARGEST_ZSTD_WINDOW;
    zstd_header(first).unwrap_or(largest).min(largest)
}

/// What a frame's header says of its window (RFC 8878, 3.1.1.1).
#[cfg(feature = "zstd")]
fn zstd_header(first: &[u8]) -> Option<usize> {
    let header = first.strip_prefix(b"\x28\xb5\x2f\xfd")?;
    let descriptor = *header.first()?;
    let is_single = descriptor & 0x20 != 0;
    if !is_single {
        let window = *header.get(1)?;
        let base = 1_usize << (10 + (window >> 3));
        return Some(base + base / 8 * usize::from(window & 7));
    }
    // The window is the content, whose size stands after the dictionary's id.
    let before = 1 + [0, 1, 2, 4].get(usize::from(descriptor & 3))?;
    let length = *[1, 2, 4, 8].get(usize::from(descriptor >> 6))?;
    let mut size = [0; 8];
    size.get_mut(..length)?
        .copy_from_slice(header.get(before..before + length)?);
    let size = usize::try_from(u64::from_le_bytes(size)).ok()?;
    Some(if length == 2 { size + 256 } else { size })
}
