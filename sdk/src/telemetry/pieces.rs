//! A parcel in smaller ones, for a collector that finds it too large, and a parcel without its compression.
//!
//! Parcels are cut after they were encoded, so that those from the disk can be cut too.

use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use opentelemetry_http::Bytes;
use prost::Message;

use super::parcel::Parcel;

/// The most that is decompressed of a parcel, in bytes: a larger one is not read.
const PLAIN_BYTES: u64 = 64 * 1024 * 1024;

/// `ExportTraceServiceRequest` and `ExportLogsServiceRequest`, whose fields have the same numbers. Fields that need
/// not be understood stay encoded, and share their bytes with the parcel.
#[derive(Clone, PartialEq, Message)]
struct Export {
    #[prost(message, repeated, tag = "1")]
    resources: Vec<OfResource>,
}

#[derive(Clone, PartialEq, Message)]
struct OfResource {
    #[prost(bytes = "bytes", optional, tag = "1")]
    resource: Option<Bytes>,
    #[prost(message, repeated, tag = "2")]
    scopes: Vec<OfScope>,
    #[prost(string, tag = "3")]
    schema_url: String,
}

#[derive(Clone, PartialEq, Message)]
struct OfScope {
    #[prost(bytes = "bytes", optional, tag = "1")]
    scope: Option<Bytes>,
    #[prost(bytes = "bytes", repeated, tag = "2")]
    records: Vec<Bytes>,
    #[prost(string, tag = "3")]
    schema_url: String,
}

// === impl Parcel ===

impl Parcel {
    /// The same without compression. None when it has none, or one that cannot be undone.
    pub(super) fn decompressed(&self) -> Option<Self> {
        self.encoding.as_ref()?;
        Some(Self {
            encoding: None,
            body: self.plain()?,
            ..self.clone()
        })
    }

    /// How many bytes it is without compression. None when that cannot be told.
    pub(super) fn plain_bytes(&self) -> Option<usize> {
        Some(self.plain()?.len())
    }

    /// Its records in the same order, in parcels of at most `most` bytes before compression, or of one record. None
    /// when that would be one parcel, or this one cannot be read.
    pub(super) fn pieces(&self, most: usize) -> Option<Vec<Self>> {
        let body = self.plain()?;
        let bytes = body.len();
        if bytes <= most {
            return None;
        }
        let export = Export::decode(body).ok()?;
        let records = export.records().map(Bytes::len).sum::<usize>();
        // Each piece says again whose records they are.
        let room = most.saturating_sub(bytes.saturating_sub(records));
        let pieces = export.cut(room);
        if pieces.len() < 2 {
            return None;
        }
        pieces.into_iter().map(|piece| self.piece(&piece)).collect()
    }

    fn piece(&self, export: &Export) -> Option<Self> {
        Some(Self {
            signal: self.signal,
            records: export.records().count() as u64,
            encoding: self.encoding.clone(),
            body: compressed(export.encode_to_vec(), self.encoding.as_deref())?,
        })
    }

    fn plain(&self) -> Option<Bytes> {
        let mut plain = Vec::new();
        let read = match self.encoding.as_deref() {
            None => return Some(self.body.clone()),
            Some("gzip") => MultiGzDecoder::new(self.body.as_ref())
                .take(PLAIN_BYTES)
                .read_to_end(&mut plain),
            #[cfg(feature = "zstd")]
            Some("zstd") => zstd::stream::read::Decoder::new(self.body.as_ref())
                .and_then(|decoder| decoder.take(PLAIN_BYTES).read_to_end(&mut plain)),
            Some(_) => return None,
        };
        read.ok()?;
        // One that is larger was not read to its end.
        ((plain.len() as u64) < PLAIN_BYTES).then(|| plain.into())
    }
}

fn compressed(plain: Vec<u8>, encoding: Option<&str>) -> Option<Bytes> {
    let body = match encoding {
        None => plain,
        Some("gzip") => {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
            encoder.write_all(&plain).ok()?;
            encoder.finish().ok()?
        }
        #[cfg(feature = "zstd")]
        Some("zstd") => zstd::stream::encode_all(plain.as_slice(), 0).ok()?,
        Some(_) => return None,
    };
    Some(body.into())
}

// === impl Export ===

impl Export {
    fn records(&self) -> impl Iterator<Item = &Bytes> {
        let scopes = self.resources.iter().flat_map(|resource| &resource.scopes);
        scopes.flat_map(|scope| &scope.records)
    }

    /// Parts of at most `room` bytes of records, or of one record.
    fn cut(&self, room: usize) -> Vec<Self> {
        let mut parts = Vec::new();
        let mut part = Self::default();
        let mut used = 0_usize;
        for resource in &self.resources {
            for scope in &resource.scopes {
                for record in &scope.records {
                    if used > 0 && used.saturating_add(record.len()) > room {
                        parts.push(std::mem::take(&mut part));
                        used = 0;
                    }
                    // A record without a byte is a record all the same.
                    used = used.saturating_add(record.len().max(1));
                    part.add(resource, scope, record);
                }
            }
        }
        if used > 0 {
            parts.push(part);
        }
        parts
    }

    fn add(&mut self, resource: &OfResource, scope: &OfScope, record: &Bytes) {
        let resources = &mut self.resources;
        let known = |last: &&mut OfResource| {
            last.resource == resource.resource && last.schema_url == resource.schema_url
        };
        if resources.last_mut().as_ref().is_none_or(|last| !known(last)) {
            resources.push(OfResource {
                resource: resource.resource.clone(),
                scopes: Vec::new(),
                schema_url: resource.schema_url.clone(),
            });
        }
        let Some(OfResource { scopes, .. }) = resources.last_mut() else {
            return;
        };
        let known = |last: &&mut OfScope| last.scope == scope.scope && last.schema_url == scope.schema_url;
        if scopes.last_mut().as_ref().is_none_or(|last| !known(last)) {
            scopes.push(OfScope {
                scope: scope.scope.clone(),
                records: Vec::new(),
                schema_url: scope.schema_url.clone(),
            });
        }
        if let Some(last) = scopes.last_mut() {
            last.records.push(record.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
    use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
    use opentelemetry_proto::tonic::resource::v1::Resource;
    use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};

    use super::*;
    use crate::telemetry::signal::Signal;

    /// Spans of two resources with two scopes each, of so many bytes each.
    fn export(lengths: &[usize]) -> ExportTraceServiceRequest {
        let span = |length: &usize| Span {
            name: "n".repeat(*length),
            ..Span::default()
        };
        let scope = |name: &str, lengths: &[usize]| ScopeSpans {
            scope: Some(InstrumentationScope {
                name: name.to_owned(),
                ..InstrumentationScope::default()
            }),
            spans: lengths.iter().map(span).collect(),
            schema_url: "of the scope".to_owned(),
        };
        let resource = |dropped, lengths: &[usize]| {
            let (one, other) = lengths.split_at(lengths.len() / 2);
            ResourceSpans {
                resource: Some(Resource {
                    dropped_attributes_count: dropped,
                    ..Resource::default()
                }),
                scope_spans: vec![scope("one", one), scope("other", other)],
                schema_url: "of the resource".to_owned(),
            }
        };
        let (one, other) = lengths.split_at(lengths.len() / 2);
        ExportTraceServiceRequest {
            resource_spans: vec![resource(1, one), resource(2, other)],
        }
    }

    fn parcel(export: &ExportTraceServiceRequest, records: u64, encoding: Option<&str>) -> Parcel {
        Parcel {
            signal: Signal::Traces,
            records,
            encoding: encoding.map(str::to_owned),
            body: compressed(export.encode_to_vec(), encoding).unwrap(),
        }
    }

    /// Every span with everything that is around it.
    fn flat(parcel: &Parcel) -> Vec<(Option<Resource>, Option<InstrumentationScope>, String, Span)> {
        let export = ExportTraceServiceRequest::decode(parcel.plain().unwrap()).unwrap();
        let mut flat = Vec::new();
        for resource in export.resource_spans {
            for scope in resource.scope_spans {
                for span in scope.spans {
                    let schemas = format!("{} {}", resource.schema_url, scope.schema_url);
                    flat.push((resource.resource.clone(), scope.scope.clone(), schemas, span));
                }
            }
        }
        flat
    }

    #[test]
    fn pieces_say_what_the_whole_says_in_the_same_order() {
        let lengths = [900, 10, 800, 700, 300, 2000, 5, 5, 5, 600];
        for encoding in [None, Some("gzip"), cfg!(feature = "zstd").then_some("zstd")] {
            let whole = parcel(&export(&lengths), 10, encoding);
            for most in [0, 500, 1000, 1500, 2500, 4000] {
                let pieces = whole.pieces(most).unwrap();
                let said: Vec<_> = pieces.iter().flat_map(flat).collect();
                assert_eq!(said, flat(&whole), "{encoding:?} {most}");
                for piece in &pieces {
                    assert_eq!(piece.records, flat(piece).len() as u64);
                    assert_eq!(piece.encoding, whole.encoding);
                    let bytes = piece.plain_bytes().unwrap();
                    assert!(bytes <= most || piece.records == 1, "{bytes} of {most}");
                }
            }
            assert!(whole.pieces(whole.plain_bytes().unwrap()).is_none());
            assert!(parcel(&export(&[5000]), 1, encoding).pieces(10).is_none());
        }
    }

    #[test]
    fn compression_is_undone_where_it_is_known() {
        let export = export(&[100, 200]);
        let plain = parcel(&export, 2, None);
        for encoding in ["gzip", if cfg!(feature = "zstd") { "zstd" } else { "gzip" }] {
            assert_eq!(parcel(&export, 2, Some(encoding)).decompressed().unwrap(), plain);
        }
        assert!(plain.decompressed().is_none());
        let foreign = Parcel {
            encoding: Some("br".to_owned()),
            ..plain.clone()
        };
        assert!(foreign.decompressed().is_none() && foreign.pieces(1).is_none());
        let torn = Parcel {
            encoding: Some("gzip".to_owned()),
            ..plain
        };
        assert!(torn.decompressed().is_none() && torn.pieces(1).is_none());
    }
}
