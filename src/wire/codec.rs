//! One message to one CBOR item and back.
//!
//! Decoding goes straight into the message's type, never into a general value, so that hostile input cannot grow in
//! memory; nesting is limited, and a frame must end where its item ends. Unknown fields are passed over, as newer
//! peers may send them; an unknown variant is reported apart from nonsense, because it means "newer", not "broken".

use super::frame::{HEADER_BYTES, REPLY_BYTES_MAX};
use ciborium::de;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::io;
use thiserror::Error;

/// How deep arrays and maps may be nested.
pub const DEPTH_MAX: usize = 16;

/// How much of a decoder's sentence is kept: it may quote what the peer sent.
const REASON_CHARS_MAX: usize = 200;

/// Why a message could not be encoded.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum EncodeError {
    /// The frame would be longer than any peer accepts.
    #[error("a message of {length} bytes where at most {REPLY_BYTES_MAX} are allowed")]
    TooLong {
        /// Its length.
        length: usize,
    },
    /// The message cannot be written as CBOR: a defect of ours.
    #[error("the message cannot be encoded: {0}")]
    Value(String),
}

/// Why the content of a frame is not a message.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// The item goes on after the end of its frame.
    #[error("the message is incomplete")]
    Incomplete,
    /// The item nests deeper than [`DEPTH_MAX`].
    #[error("the message is nested more than {DEPTH_MAX} levels deep")]
    TooDeep,
    /// There is more in the frame than one item.
    #[error("{0} bytes follow the message in its frame")]
    Trailing(usize),
    /// Well-formed, but with a variant that this version has not heard of.
    #[error("this version does not know the message: {0}")]
    Unknown(String),
    /// No CBOR, or not the shape of the message.
    #[error("the message is invalid: {0}")]
    Invalid(String),
}

/// The whole frame of a message, length included, ready for one write.
pub fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, EncodeError> {
    let mut frame = vec![0; HEADER_BYTES];
    ciborium::into_writer(message, &mut frame)
        .map_err(|error| EncodeError::Value(error.to_string()))?;
    with_length(frame)
}

/// Fills in the length in front of a frame's content, for which room was left.
pub(super) fn with_length(mut frame: Vec<u8>) -> Result<Vec<u8>, EncodeError> {
    let length = frame.len() - HEADER_BYTES;
    let too_long = EncodeError::TooLong { length };
    if length > REPLY_BYTES_MAX {
        return Err(too_long);
    }
    let header = u32::try_from(length).map_err(|_| too_long)?.to_be_bytes();
    for (place, byte) in frame.iter_mut().zip(header) {
        *place = byte;
    }
    Ok(frame)
}

/// The message that a frame's content holds.
pub fn decode<T: DeserializeOwned>(content: &[u8]) -> Result<T, DecodeError> {
    let mut rest = content;
    let message =
        de::from_reader_with_recursion_limit(&mut rest, DEPTH_MAX).map_err(DecodeError::from)?;
    if rest.is_empty() {
        Ok(message)
    } else {
        Err(DecodeError::Trailing(rest.len()))
    }
}

/// The id of a request that is not understood, so that its refusal can name it.
pub fn request_id(content: &[u8]) -> Option<u64> {
    #[derive(Deserialize)]
    struct Envelope {
        id: u64,
    }
    decode(content).ok().map(|Envelope { id }| id)
}

impl From<de::Error<io::Error>> for DecodeError {
    fn from(error: de::Error<io::Error>) -> Self {
        match error {
            // Reading from a slice fails in no other way than by its end.
            de::Error::Io(_) => Self::Incomplete,
            de::Error::RecursionLimitExceeded => Self::TooDeep,
            de::Error::Syntax(offset) => Self::Invalid(format!("no CBOR at byte {offset}")),
            // serde's own beginning of the sentence; the decoder keeps nothing but the sentence.
            de::Error::Semantic(_, reason) if reason.starts_with("unknown variant") => {
                Self::Unknown(shortened(&reason))
            }
            de::Error::Semantic(_, reason) => Self::Invalid(shortened(&reason)),
        }
    }
}

fn shortened(reason: &str) -> String {
    let mut chars = reason.chars();
    let mut text: String = chars.by_ref().take(REASON_CHARS_MAX).collect();
    if chars.next().is_some() {
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::samples::{self, Sample};
    use crate::wire::{Hello, Request, RequestFrame, ServerFrame};
    use proptest::prelude::*;
    use std::collections::BTreeSet;
    use std::path::Path;

    /// Decodes as each kind of message. That it returns at all is what matters.
    fn decode_as_everything(content: &[u8]) {
        for answer in [
            decode::<Hello>(content).map(|_| ()),
            decode::<RequestFrame>(content).map(|_| ()),
            decode::<ServerFrame>(content).map(|_| ()),
        ] {
            if let Err(error) = answer {
                assert!(error.to_string().chars().count() < 2 * REASON_CHARS_MAX);
            }
        }
    }

    proptest! {
        #[test]
        fn every_message_survives_the_round_trip(
            text in any::<String>(),
            number in any::<u64>(),
            bytes in proptest::collection::vec(any::<u8>(), 0..300),
        ) {
            for (name, sample) in samples::all(&text, number, &bytes) {
                let frame = sample.encode().unwrap();
                prop_assert_eq!(frame.len() - HEADER_BYTES, u32::from_be_bytes(frame[..4].try_into().unwrap()) as usize);
                prop_assert_eq!(sample.decode_same_kind(&frame[HEADER_BYTES..]), Ok(sample), "{}", name);
            }
        }

        #[test]
        fn mutated_messages_never_panic(
            pick in any::<prop::sample::Index>(),
            changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
            end in any::<prop::sample::Index>(),
        ) {
            let samples = samples::all("web:0", 4711, b"out\n");
            let (_, sample) = &samples[pick.index(samples.len())];
            let mut content = sample.encode().unwrap().split_off(HEADER_BYTES);
            for (place, byte) in changes {
                let place = place.index(content.len());
                content[place] = byte;
            }
            decode_as_everything(&content);
            content.truncate(end.index(content.len()));
            decode_as_everything(&content);
        }

        #[test]
        fn arbitrary_bytes_never_panic(content in proptest::collection::vec(any::<u8>(), 0..2000)) {
            decode_as_everything(&content);
        }
    }

    #[test]
    fn every_prefix_of_every_message_is_incomplete() {
        for (name, sample) in samples::all("web:0", 4711, b"out\n") {
            let content = sample.encode().unwrap().split_off(HEADER_BYTES);
            for end in 0..content.len() {
                assert_eq!(
                    sample.decode_same_kind(&content[..end]),
                    Err(DecodeError::Incomplete),
                    "{name} cut at {end}"
                );
            }
        }
    }

    #[test]
    fn what_follows_a_message_is_refused() {
        let mut content = encode(&Request::Avail).unwrap().split_off(HEADER_BYTES);
        content.extend_from_slice(&[0xff, 0xff]);
        assert_eq!(decode::<Request>(&content), Err(DecodeError::Trailing(2)));
    }

    fn cbor(value: &serde_json::Value) -> Vec<u8> {
        encode(value).unwrap().split_off(HEADER_BYTES)
    }

    #[test]
    fn newer_is_told_from_broken() {
        let unknown = cbor(&serde_json::json!({"id": 1, "request": {"Levitate": {"height": 3}}}));
        assert!(matches!(
            decode::<RequestFrame>(&unknown),
            Err(DecodeError::Unknown(reason)) if reason.contains("Levitate")
        ));
        let unit = cbor(&serde_json::json!({"id": 1, "request": "Levitate"}));
        assert!(matches!(
            decode::<RequestFrame>(&unit),
            Err(DecodeError::Unknown(_))
        ));
        for (broken, part) in [
            (serde_json::json!({"id": 1}), "request"),
            (serde_json::json!({"id": -1, "request": "Avail"}), "integer"),
            (
                serde_json::json!({"id": 1, "request": {"Start": {"targets": ["a"]}}}),
                "wait",
            ),
            (
                serde_json::json!({"id": 1, "request": {"Start": {"targets": 3, "wait": true}}}),
                "invalid type",
            ),
            (serde_json::json!([1, 2, 3]), "map"),
        ] {
            match decode::<RequestFrame>(&cbor(&broken)) {
                Err(DecodeError::Invalid(reason)) => {
                    assert!(reason.contains(part), "{broken}: {reason}");
                }
                other => panic!("{broken}: {other:?}"),
            }
        }
    }

    #[test]
    fn unknown_fields_are_passed_over_and_doubled_ones_refused() {
        let newer = cbor(
            &serde_json::json!({"id": 1, "mood": [1, {"a": 2}], "request": {"Start": {"targets": ["a"], "wait": true, "slowly": true}}}),
        );
        assert_eq!(
            decode::<RequestFrame>(&newer),
            Ok(RequestFrame {
                id: 1,
                request: Request::Start {
                    targets: vec!["a".to_owned()],
                    wait: true
                }
            })
        );
        // {"id": 1, "id": 2, "request": "Avail"}
        let mut doubled = vec![0xa3, 0x62, b'i', b'd', 1, 0x62, b'i', b'd', 2, 0x67];
        doubled.extend_from_slice(b"request\x65Avail");
        assert!(matches!(
            decode::<RequestFrame>(&doubled),
            Err(DecodeError::Invalid(reason)) if reason.contains("duplicate")
        ));
    }

    #[test]
    fn hostile_shapes_are_refused_quickly() {
        for shape in [
            vec![0x81; 1 << 20],
            vec![0xc1; 1 << 20],
            vec![0x9f; 1 << 20],
            vec![0x9b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
            vec![0x7b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
            vec![0xbb, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        ] {
            decode_as_everything(&shape);
            assert!(decode::<RequestFrame>(&shape).is_err());
        }
        // Nesting where an unknown field is passed over, which recurses.
        let mut deep = vec![0xa1, 0x61, b'x'];
        deep.extend_from_slice(&[0x81; 1000]);
        assert_eq!(decode::<RequestFrame>(&deep), Err(DecodeError::TooDeep));
        let targets = vec!["x".repeat(1000); 3];
        let long_name = encode(&serde_json::json!({"id": 1, "request": targets[0]})).unwrap();
        assert!(matches!(
            decode::<RequestFrame>(&long_name[HEADER_BYTES..]),
            Err(DecodeError::Unknown(reason)) if reason.chars().count() == REASON_CHARS_MAX + 1
        ));
    }

    #[test]
    fn a_message_beyond_the_limit_is_not_encoded() {
        let data = vec![0; REPLY_BYTES_MAX];
        let request = Request::Input {
            target: "web".to_owned(),
            data,
        };
        assert!(matches!(encode(&request), Err(EncodeError::TooLong { .. })));
    }

    #[test]
    fn the_samples_cover_every_variant() {
        let names: BTreeSet<_> = samples::all("a", 1, b"b")
            .into_iter()
            .map(|(name, _)| name)
            .collect();
        assert_eq!(
            names.len(),
            samples::all("a", 1, b"b").len(),
            "unique names"
        );
        for variant in samples::VARIANTS {
            assert!(
                names.iter().any(|name| name == variant),
                "no sample for {variant}"
            );
        }
    }

    /// Each kept frame must decode for ever, and today's encoding must not drift from it.
    ///
    /// With `UPDATE_EXPECT=1` missing files are written; existing ones are never touched.
    #[test]
    fn frames_of_version_1_still_decode_and_are_still_what_is_sent() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/wire/v1");
        let mut expected = BTreeSet::new();
        for (name, sample) in samples::all("web:0", 4711, b"out\xff\n") {
            let path = directory.join(format!("{name}.cbor"));
            let today = sample.encode().unwrap();
            if !path.exists() && std::env::var_os("UPDATE_EXPECT").is_some() {
                std::fs::create_dir_all(&directory).unwrap();
                std::fs::write(&path, &today).unwrap();
            }
            let kept =
                std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            assert_eq!(
                sample.decode_same_kind(&kept[HEADER_BYTES..]),
                Ok(sample),
                "{name} decodes"
            );
            assert_eq!(today, kept, "{name} is encoded as before");
            expected.insert(path);
        }
        let present: BTreeSet<_> = std::fs::read_dir(&directory)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        assert_eq!(present, expected, "no file without its sample");
    }

    impl Sample {
        fn encode(&self) -> Result<Vec<u8>, EncodeError> {
            match self {
                Self::Hello(message) => encode(message),
                Self::Request(message) => encode(message),
                Self::Server(message) => encode(message),
            }
        }

        fn decode_same_kind(&self, content: &[u8]) -> Result<Self, DecodeError> {
            match self {
                Self::Hello(_) => decode(content).map(Self::Hello),
                Self::Request(_) => decode(content).map(Self::Request),
                Self::Server(_) => decode(content).map(Self::Server),
            }
        }
    }
}
