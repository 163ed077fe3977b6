use std::io::Write;

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};

use super::*;
use crate::capture::Capture;
use crate::recorder::Recorder;

/// Content codings, and bytes that have them.
type Case = (&'static [&'static str], Vec<u8>);

fn decoder(codings: &[&str]) -> Decoder {
    let observer = Observer::new(Recorder::default().with(Capture::default()));
    decoder_of(&observer, codings)
}

fn decoder_of(observer: &Observer, codings: &[&str]) -> Decoder {
    let mut headers = HeaderMap::new();
    for coding in codings {
        headers.append(CONTENT_ENCODING, coding.parse().unwrap());
    }
    Decoder::new(observer, &headers)
}

/// Gives all of the bytes to a decoder, and returns in how many steps.
fn feed(decoder: &mut Decoder, mut bytes: &[u8], mut visit: impl FnMut(&[u8])) -> usize {
    let mut steps = 0;
    while !(bytes.is_empty() && decoder.is_idle()) {
        decoder.step(&mut bytes, &mut visit);
        steps += 1;
    }
    steps
}

/// What becomes of bytes, fed in pieces, and why not all of it.
fn decoded(codings: &[&str], bytes: &[u8], piece: usize) -> (Vec<u8>, Option<Unreadable>) {
    let mut decoder = decoder(codings);
    let mut all = Vec::new();
    for bytes in bytes.chunks(piece) {
        feed(&mut decoder, bytes, |bytes| all.extend_from_slice(bytes));
    }
    decoder.finish(|bytes| all.extend_from_slice(bytes));
    (all, decoder.fault().cloned())
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

fn zlib(text: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

fn raw(text: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

#[cfg(feature = "brotli")]
fn brotli(text: &[u8]) -> Vec<u8> {
    let mut encoder = brotli::CompressorWriter::new(Vec::new(), 4096, 5, 22);
    encoder.write_all(text).unwrap();
    encoder.into_inner()
}

fn zstd(text: &[u8]) -> Vec<u8> {
    zstd::encode_all(text, 3).unwrap()
}

fn text() -> Vec<u8> {
    (0..5000_u32)
        .flat_map(|number| number.wrapping_mul(2_654_435_761).to_string().into_bytes())
        .collect()
}

#[test]
fn every_coding_is_undone_in_any_pieces() {
    let text = text();
    let (first, second) = text.split_at(1000);
    let members = [gzip(first), gzip(b""), gzip(second)].concat();
    let cases: Vec<Case> = vec![
        (&[], text.clone()),
        (&["Identity, "], text.clone()),
        (&["GZIP"], gzip(&text)),
        (&["x-gzip"], members.clone()),
        (&["gzip"], members),
        (&["deflate"], zlib(&text)),
        (&["deflate"], raw(&text)),
        (&["deflate, identity", "gzip"], gzip(&zlib(&text))),
        (&["zstd"], zstd(&text)),
        (&["ZSTD"], [zstd(first), zstd(second)].concat()),
    ];
    #[cfg(feature = "brotli")]
    let cases = {
        let more: Vec<Case> = vec![(&["br"], brotli(&text)), (&["gzip, br"], brotli(&gzip(&text)))];
        [cases, more].concat()
    };
    for (codings, bytes) in cases {
        for piece in [1, 2, 7, 1000, usize::MAX] {
            let (all, fault) = decoded(codings, &bytes, piece);
            assert_eq!(fault, None, "{codings:?} {piece}");
            assert!(all == text, "{codings:?} {piece}");
        }
    }
}

#[test]
fn what_is_flushed_is_read_at_once() {
    let event = b"data: {\"id\":1,\"result\":{}}\n\n";
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::default());
    let mut raw = DeflateEncoder::new(Vec::new(), Compression::default());
    let mut decoders = [decoder(&["gzip"]), decoder(&["deflate"]), decoder(&["deflate"])];
    #[cfg(feature = "brotli")]
    let (mut brotli, mut brotli_decoder) = (
        brotli::CompressorWriter::new(Vec::new(), 4096, 5, 22),
        decoder(&["br"]),
    );
    let (mut zstd, mut zstd_decoder) = (
        zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap(),
        decoder(&["zstd"]),
    );
    for round in 0..3 {
        let check = |encoded: Vec<u8>, decoder: &mut Decoder| {
            assert!(!encoded.is_empty());
            let mut read = Vec::new();
            feed(decoder, &encoded, |bytes| read.extend_from_slice(bytes));
            assert!(read == event, "{round} {decoder:?}");
        };
        let [of_gzip, of_zlib, of_raw] = &mut decoders;
        gzip.write_all(event).unwrap();
        gzip.flush().unwrap();
        check(std::mem::take(gzip.get_mut()), of_gzip);
        zlib.write_all(event).unwrap();
        zlib.flush().unwrap();
        check(std::mem::take(zlib.get_mut()), of_zlib);
        raw.write_all(event).unwrap();
        raw.flush().unwrap();
        check(std::mem::take(raw.get_mut()), of_raw);
        #[cfg(feature = "brotli")]
        {
            brotli.write_all(event).unwrap();
            brotli.flush().unwrap();
            check(std::mem::take(brotli.get_mut()), &mut brotli_decoder);
        }
        zstd.write_all(event).unwrap();
        zstd.flush().unwrap();
        check(std::mem::take(zstd.get_mut()), &mut zstd_decoder);
    }
}

#[test]
fn what_cannot_be_read_is_said() {
    let text = text();
    let packed = gzip(&text);
    assert_eq!(
        decoded(&["snappy"], b"as it is", 3),
        (
            b"as it is".to_vec(),
            Some(Unreadable::Unknown("snappy".to_owned()))
        )
    );
    assert_eq!(
        decoded(&["gzip"], b"no gzip at all", 3).1,
        Some(Unreadable::Damaged("gzip"))
    );
    assert_eq!(
        decoded(&["gzip"], &packed[..packed.len() / 2], 1000).1,
        Some(Unreadable::Short("gzip"))
    );
    assert_eq!(
        decoded(&["gzip,gzip,gzip,gzip,gzip"], &packed, 1000).1,
        Some(Unreadable::Stacked)
    );
    // What follows the data costs nothing that stands before it.
    let (all, _) = decoded(&["deflate"], &[zlib(&text), b"more".to_vec()].concat(), 1000);
    assert!(all == text);
    // No body has no coding.
    assert_eq!(decoded(&["gzip"], b"", 1), (Vec::new(), None));
}

#[test]
fn what_was_decoded_before_a_fault_is_kept() {
    let text = text();
    let half = |packed: Vec<u8>| packed[..packed.len() / 2].to_vec();
    let garbage = b"\x00\xffand something that is no such data".to_vec();
    let follows = |packed: Vec<u8>| [packed, garbage.clone()].concat();
    let cases: Vec<Case> = vec![
        (&["gzip"], follows(gzip(&text))),
        (&["gzip"], [gzip(&text), vec![0; 3]].concat()),
        (&["zstd"], follows(zstd(&text))),
        (&["gzip, gzip"], gzip(&follows(gzip(&text)))),
        (&["gzip, gzip"], follows(gzip(&gzip(&text)))),
        (&["deflate, zstd"], follows(zstd(&zlib(&text)))),
    ];
    #[cfg(feature = "brotli")]
    let cases = {
        let more: Vec<Case> = vec![
            (&["br"], follows(brotli(&text))),
            (&["gzip, br"], follows(brotli(&gzip(&text)))),
        ];
        [cases, more].concat()
    };
    for (codings, bytes) in cases {
        for piece in [1, 7, 1000, usize::MAX] {
            let (all, fault) = decoded(codings, &bytes, piece);
            assert!(
                all == text,
                "{codings:?} {piece}: {} of {}",
                all.len(),
                text.len()
            );
            // Brotli's library takes no notice of what follows.
            assert!(
                fault.is_some() || codings[0].contains("br"),
                "{codings:?} {piece}"
            );
        }
    }
    let (all, fault) = decoded(&["gzip"], &half(gzip(&text)), 1000);
    assert!(all.len() > text.len() / 3 && text.starts_with(&all));
    assert_eq!(fault, Some(Unreadable::Short("gzip")));
}

#[test]
fn no_step_is_long() {
    let text = vec![b'x'; 8 << 20];
    let cases: Vec<Case> = vec![
        (&[], text.clone()),
        (&["gzip"], gzip(&text)),
        (&["gzip, gzip"], gzip(&gzip(&text))),
        (&["deflate, gzip, zstd"], zstd(&gzip(&zlib(&text)))),
    ];
    for (codings, bytes) in cases {
        let mut decoder = decoder(codings);
        let mut longest = 0;
        let mut all = 0;
        let mut rest = bytes.as_slice();
        while !(rest.is_empty() && decoder.is_idle()) {
            let before = all;
            decoder.step(&mut rest, |bytes| all += bytes.len());
            longest = longest.max(all - before);
        }
        assert_eq!(all, text.len(), "{codings:?}");
        // Deflate makes 1032 bytes of one at most.
        let bound = if codings.is_empty() {
            PLAIN_SLICE
        } else {
            SLICE * 1040
        };
        assert!(longest <= bound, "{codings:?} {longest}");
        assert_eq!(decoder.fault(), None);
        decoder.finish(|_| {});
        assert_eq!(decoder.fault(), None);
    }
}

#[test]
fn a_few_bytes_do_not_become_very_many() {
    let zeros = vec![b'0'; 64 << 20];
    let cases: Vec<Case> = vec![
        (&["gzip"], gzip(&zeros)),
        (&["deflate"], zlib(&zeros)),
        (&["gzip, gzip"], gzip(&gzip(&zeros))),
        (&["zstd"], zstd(&zeros)),
    ];
    #[cfg(feature = "brotli")]
    let cases = {
        let more: Vec<Case> = vec![(&["br"], brotli(&zeros))];
        [cases, more].concat()
    };
    for (codings, bytes) in cases {
        let (all, fault) = decoded(codings, &bytes, usize::MAX);
        assert_eq!(fault, Some(Unreadable::TooLarge), "{codings:?}");
        let bound = (17 << 20).max(bytes.len() * 250);
        assert!(
            all.len() <= bound,
            "{codings:?}: {} of {}",
            all.len(),
            bytes.len()
        );
    }
}

#[test]
fn events_that_compress_well_may_be_many() {
    let event = vec![b' '; 1 << 20];
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    let mut decoder = decoder(&["gzip"]);
    let mut read = 0;
    for _ in 0..24 {
        encoder.write_all(&event).unwrap();
        encoder.flush().unwrap();
        let encoded = std::mem::take(encoder.get_mut());
        feed(&mut decoder, &encoded, |bytes| read += bytes.len());
        decoder.next_message();
    }
    assert_eq!((read, decoder.fault()), (24 << 20, None));
}

#[test]
fn decoders_have_a_bound_of_memory_together() {
    let observer = Observer::new(Recorder::default().with(Capture::default()));
    let packed = gzip(b"text");
    let mut open = Vec::new();
    loop {
        let mut decoder = decoder_of(&observer, &["gzip"]);
        feed(&mut decoder, &packed[..4], |_| {});
        if decoder.fault().is_some() {
            assert_eq!(decoder.fault(), Some(&Unreadable::NoRoom));
            break;
        }
        open.push(decoder);
        assert!(open.len() < 100_000);
    }
    // The end of one makes room for another.
    drop(open.pop());
    let mut decoder = decoder_of(&observer, &["gzip"]);
    feed(&mut decoder, &packed, |_| {});
    assert_eq!(decoder.fault(), None);
}

#[cfg(feature = "brotli")]
#[test]
fn the_window_is_read_from_the_beginning() {
    let large = vec![b'x'; 3 << 20];
    for bits in [10, 16, 17, 18, 22, 24] {
        let mut encoder = brotli::CompressorWriter::new(Vec::new(), 4096, 5, bits);
        encoder.write_all(&large).unwrap();
        assert_eq!(window::brotli(&encoder.into_inner()), 1 << bits, "{bits}");
    }
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
    encoder.window_log(20).unwrap();
    encoder.write_all(&large).unwrap();
    assert_eq!(window::zstd(&encoder.finish().unwrap()), 1 << 20);
    assert_eq!(window::zstd(&zstd::bulk::compress(&large, 3).unwrap()), 2 << 20);
    assert_eq!(
        window::zstd(&zstd::bulk::compress(&large[..100_000], 3).unwrap()),
        100_000
    );
    assert_eq!(
        window::zstd(&zstd::bulk::compress(&large[..700], 3).unwrap()),
        700
    );
    assert_eq!(window::zstd(b"\x28\xb5"), 1 << window::LARGEST_ZSTD_WINDOW);
}
