//! The answer to `Status`, written and read without a detour.
//!
//! A status of thousands of processes is what people ask for all the time. Its bytes are those that [`super::encode`]
//! would write, which tests hold it to; here they are put together from borrowed words, without a serialiser's calls
//! for each of them. Reading knows exactly these bytes: whatever differs, be it new, old, damaged or another kind of
//! answer, is left to [`super::decode`], which also says what is wrong with it. What a process rarely has (a trouble,
//! an exit, a listener) is written and read by ciborium in both.

use super::codec::{self, DEPTH_MAX, DecodeError, EncodeError};
use super::frame::HEADER_BYTES;
use super::message::ServerFrame;
use super::response::{LogState, NamedResult, ProcessState, Response, StatusReply, StatusRow};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::borrow::Cow;

/// Major types of CBOR, where they stand in the first byte of an item.
const UNSIGNED: u8 = 0 << 5;
const NEGATIVE: u8 = 1 << 5;
const TEXT: u8 = 3 << 5;
const ARRAY: u8 = 4 << 5;
const MAP: u8 = 5 << 5;
/// Instead of a small argument: how many bytes of it follow.
const ONE_BYTE: u8 = 0x18;
const TWO_BYTES: u8 = 0x19;
const FOUR_BYTES: u8 = 0x1a;
const EIGHT_BYTES: u8 = 0x1b;
const TRUE: u8 = 0xf5;
const NULL: u8 = 0xf6;

/// The item of a text that is known beforehand, and so short that its length stands in the first byte.
macro_rules! item {
    ($text:literal) => {
        const {
            let text = $text.as_bytes();
            let mut item = [TEXT; 1 + $text.len()];
            let mut at = 0;
            while at < text.len() {
                item[0] += 1;
                at += 1;
                item[at] = text[at - 1];
            }
            assert!(item[0] < TEXT + ONE_BYTE);
            item
        }
    };
}

/// Fields of a row that are always there.
const FIELDS: u64 = 16;

/// Bytes of a row of short names, as a first guess.
const ROW_BYTES: usize = 320;
/// No row is shorter: the names of its fields alone take more.
const ROW_BYTES_MIN: usize = 150;

/// A row whose words belong to somebody else.
pub type BorrowedRow<'a> = StatusRow<Cow<'a, str>>;

impl BorrowedRow<'_> {
    /// The row with words of its own.
    pub fn into_owned(self) -> StatusRow {
        StatusRow {
            name: self.name.into_owned(),
            group: self.group.into_owned(),
            process: self.process.into_owned(),
            program: self.program.into_owned(),
            state: self.state,
            pid: self.pid,
            uptime_ms: self.uptime_ms,
            started_at: self.started_at,
            stopped_at: self.stopped_at,
            trouble: self.trouble,
            last_exit: self.last_exit,
            failures: self.failures,
            next_attempt_ms: self.next_attempt_ms,
            restarts: self.restarts,
            adopted: self.adopted,
            stdout_log: self.stdout_log.into_owned(),
            stderr_log: self.stderr_log.into_owned(),
            listener: self.listener,
        }
    }
}

impl LogState<Cow<'_, str>> {
    fn into_owned(self) -> LogState {
        LogState {
            path: self.path.map(Cow::into_owned),
            lost: self.lost,
            errno: self.errno,
        }
    }
}

/// The frame of a status reply, row by row.
#[derive(Debug)]
pub struct StatusFrame {
    bytes: Vec<u8>,
    /// The first thing that could not be written.
    failure: Option<EncodeError>,
}

impl StatusFrame {
    /// Begins the reply to the request `id`, of exactly so many rows.
    pub fn new(id: u64, rows: usize) -> Self {
        let mut bytes = Vec::with_capacity(64 + rows.saturating_mul(ROW_BYTES));
        bytes.extend_from_slice(&[0; HEADER_BYTES]);
        let mut frame = Self {
            bytes,
            failure: None,
        };
        frame.head(MAP, 1);
        frame.known(&item!("Reply"));
        frame.head(MAP, 2);
        frame.known(&item!("id"));
        frame.head(UNSIGNED, id);
        frame.known(&item!("response"));
        frame.head(MAP, 1);
        frame.known(&item!("Status"));
        frame.head(MAP, 2);
        frame.known(&item!("rows"));
        frame.head(ARRAY, rows as u64);
        frame
    }

    /// Adds a row.
    pub fn push(&mut self, row: &BorrowedRow<'_>) {
        let more = u64::from(row.adopted) + u64::from(row.listener.is_some());
        self.head(MAP, FIELDS + more);
        self.known(&item!("name"));
        self.text(&row.name);
        self.known(&item!("group"));
        self.text(&row.group);
        self.known(&item!("process"));
        self.text(&row.process);
        self.known(&item!("program"));
        self.text(&row.program);
        self.known(&item!("state"));
        self.text(row.state.name());
        self.known(&item!("pid"));
        self.optional(row.pid.map(u64::from));
        self.known(&item!("uptime_ms"));
        self.optional(row.uptime_ms);
        self.known(&item!("started_at"));
        self.optional_signed(row.started_at);
        self.known(&item!("stopped_at"));
        self.optional_signed(row.stopped_at);
        self.known(&item!("trouble"));
        self.rare(row.trouble.as_ref());
        self.known(&item!("last_exit"));
        self.rare(row.last_exit.as_ref());
        self.known(&item!("failures"));
        self.head(UNSIGNED, u64::from(row.failures));
        self.known(&item!("next_attempt_ms"));
        self.optional(row.next_attempt_ms);
        self.known(&item!("restarts"));
        self.head(UNSIGNED, row.restarts);
        if row.adopted {
            self.known(&item!("adopted"));
            self.bytes.push(TRUE);
        }
        self.known(&item!("stdout_log"));
        self.log(&row.stdout_log);
        self.known(&item!("stderr_log"));
        self.log(&row.stderr_log);
        if row.listener.is_some() {
            self.known(&item!("listener"));
            self.rare(row.listener.as_ref());
        }
    }

    /// The whole frame, ready for one write.
    pub fn finish(mut self, unknown: &[NamedResult]) -> Result<Vec<u8>, EncodeError> {
        self.known(&item!("unknown"));
        self.rare(Some(unknown));
        match self.failure {
            Some(error) => Err(error),
            None => codec::with_length(self.bytes),
        }
    }

    /// Type and argument of an item, in the shortest form.
    #[inline]
    fn head(&mut self, major: u8, argument: u64) {
        let [.., b3, b2, b1, b0] = argument.to_be_bytes();
        match argument {
            0..=23 => self.bytes.push(major | b0),
            24..=0xff => self.bytes.extend_from_slice(&[major | ONE_BYTE, b0]),
            0x100..=0xffff => self.bytes.extend_from_slice(&[major | TWO_BYTES, b1, b0]),
            0x1_0000..=0xffff_ffff => {
                self.bytes
                    .extend_from_slice(&[major | FOUR_BYTES, b3, b2, b1, b0]);
            }
            _ => {
                self.bytes.push(major | EIGHT_BYTES);
                self.bytes.extend_from_slice(&argument.to_be_bytes());
            }
        }
    }

    #[inline]
    fn text(&mut self, text: &str) {
        self.head(TEXT, text.len() as u64);
        self.bytes.extend_from_slice(text.as_bytes());
    }

    /// A text that is known beforehand.
    #[inline]
    fn known(&mut self, text: &[u8]) {
        self.bytes.extend_from_slice(text);
    }

    fn optional(&mut self, value: Option<u64>) {
        match value {
            Some(value) => self.head(UNSIGNED, value),
            None => self.bytes.push(NULL),
        }
    }

    fn optional_signed(&mut self, value: Option<i64>) {
        match value {
            Some(value) if value < 0 => self.head(NEGATIVE, (-1 - value).unsigned_abs()),
            value => self.optional(value.map(i64::unsigned_abs)),
        }
    }

    fn log(&mut self, log: &LogState<Cow<'_, str>>) {
        self.head(MAP, 3);
        self.known(&item!("path"));
        match &log.path {
            Some(path) => self.text(path),
            None => self.bytes.push(NULL),
        }
        self.known(&item!("lost"));
        self.head(UNSIGNED, log.lost);
        self.known(&item!("errno"));
        self.optional_signed(log.errno.map(i64::from));
    }

    fn rare<T: Serialize + ?Sized>(&mut self, value: Option<&T>) {
        match value {
            None => self.bytes.push(NULL),
            Some(value) => {
                if let Err(error) = ciborium::into_writer(value, &mut self.bytes) {
                    self.failure
                        .get_or_insert(EncodeError::Value(error.to_string()));
                }
            }
        }
    }
}

/// What the daemon sent in answer to a request.
pub fn decode_reply(content: &[u8]) -> Result<ServerFrame, DecodeError> {
    match status(content) {
        Some(frame) => Ok(frame),
        None => codec::decode(content),
    }
}

/// A status reply as it is written above; none when it is anything else.
fn status(content: &[u8]) -> Option<ServerFrame> {
    let mut rows = Vec::new();
    let (id, unknown) = read_rows(content, |row| rows.push(row.into_owned()))?;
    let response = Response::Status(StatusReply { rows, unknown });
    Some(ServerFrame::Reply { id, response })
}

/// Reads a status reply as it is written above, without keeping a row: of which request it is, and the targets that name
/// nothing. None when it is anything else, whatever rows were handed out by then: they do not count.
pub fn read_rows<'a>(
    content: &'a [u8],
    mut each: impl FnMut(BorrowedRow<'a>),
) -> Option<(u64, Vec<NamedResult>)> {
    let mut reader = Reader { rest: content };
    reader.expect(MAP, 1)?;
    reader.known(&item!("Reply"))?;
    reader.expect(MAP, 2)?;
    reader.known(&item!("id"))?;
    let id = reader.head(UNSIGNED)?;
    reader.known(&item!("response"))?;
    reader.expect(MAP, 1)?;
    reader.known(&item!("Status"))?;
    reader.expect(MAP, 2)?;
    reader.known(&item!("rows"))?;
    let count = usize::try_from(reader.head(ARRAY)?).ok()?;
    if count > reader.rest.len() / ROW_BYTES_MIN {
        return None;
    }
    for _ in 0..count {
        each(reader.row()?);
    }
    reader.known(&item!("unknown"))?;
    let unknown = reader.rare()?;
    reader.rest.is_empty().then_some((id, unknown))
}

/// Not what is written above.
struct Foreign;

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(taken)
    }

    fn fixed<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(*taken)
    }

    fn is_next(&self, byte: u8) -> bool {
        self.rest.first() == Some(&byte)
    }

    /// The argument of an item of this type.
    #[inline]
    fn head(&mut self, major: u8) -> Option<u64> {
        let [first] = self.fixed()?;
        match first.checked_sub(major)? {
            short @ 0..=23 => Some(u64::from(short)),
            ONE_BYTE => self.fixed().map(|[byte]| u64::from(byte)),
            25 => self
                .fixed()
                .map(|bytes| u64::from(u16::from_be_bytes(bytes))),
            26 => self
                .fixed()
                .map(|bytes| u64::from(u32::from_be_bytes(bytes))),
            EIGHT_BYTES => self.fixed().map(u64::from_be_bytes),
            _ => None,
        }
    }

    fn expect(&mut self, major: u8, argument: u64) -> Option<()> {
        (self.head(major)? == argument).then_some(())
    }

    fn bytes_of_text(&mut self) -> Option<&'a [u8]> {
        let length = self.head(TEXT)?;
        self.take(usize::try_from(length).ok()?)
    }

    /// A text that is known beforehand.
    fn known<const LENGTH: usize>(&mut self, text: &[u8; LENGTH]) -> Option<()> {
        let (found, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        (found == text).then_some(())
    }

    fn text(&mut self) -> Option<Cow<'a, str>> {
        let text = std::str::from_utf8(self.bytes_of_text()?).ok()?;
        Some(Cow::Borrowed(text))
    }

    /// A value that may be missing; an error where there is something else.
    fn optional<T>(
        &mut self,
        value: impl FnOnce(&mut Self) -> Option<T>,
    ) -> Result<Option<T>, Foreign> {
        if self.is_next(NULL) {
            self.take(1);
            return Ok(None);
        }
        value(self).map(Some).ok_or(Foreign)
    }

    fn unsigned<T: TryFrom<u64>>(&mut self) -> Option<T> {
        T::try_from(self.head(UNSIGNED)?).ok()
    }

    fn signed<T: TryFrom<i64>>(&mut self) -> Option<T> {
        let positive = self.rest.first().is_some_and(|&first| first < NEGATIVE);
        let value = if positive {
            i64::try_from(self.head(UNSIGNED)?).ok()?
        } else {
            -1 - i64::try_from(self.head(NEGATIVE)?).ok()?
        };
        T::try_from(value).ok()
    }

    fn state(&mut self) -> Option<ProcessState> {
        let name = self.bytes_of_text()?;
        ProcessState::ALL
            .into_iter()
            .find(|state| state.name().as_bytes() == name)
    }

    fn rare<T: DeserializeOwned>(&mut self) -> Option<T> {
        ciborium::de::from_reader_with_recursion_limit(&mut self.rest, DEPTH_MAX).ok()
    }

    fn log(&mut self) -> Option<LogState<Cow<'a, str>>> {
        self.expect(MAP, 3)?;
        self.known(&item!("path"))?;
        let path = self.optional(Self::text).ok()?;
        self.known(&item!("lost"))?;
        let lost = self.unsigned()?;
        self.known(&item!("errno"))?;
        let errno = self.optional(Self::signed).ok()?;
        Some(LogState { path, lost, errno })
    }

    fn row(&mut self) -> Option<BorrowedRow<'a>> {
        let more = self.head(MAP)?.checked_sub(FIELDS)?;
        self.known(&item!("name"))?;
        let name = self.text()?;
        self.known(&item!("group"))?;
        let group = self.text()?;
        self.known(&item!("process"))?;
        let process = self.text()?;
        self.known(&item!("program"))?;
        let program = self.text()?;
        self.known(&item!("state"))?;
        let state = self.state()?;
        self.known(&item!("pid"))?;
        let pid = self.optional(Self::unsigned).ok()?;
        self.known(&item!("uptime_ms"))?;
        let uptime_ms = self.optional(Self::unsigned).ok()?;
        self.known(&item!("started_at"))?;
        let started_at = self.optional(Self::signed).ok()?;
        self.known(&item!("stopped_at"))?;
        let stopped_at = self.optional(Self::signed).ok()?;
        self.known(&item!("trouble"))?;
        let trouble = self.optional(Self::rare).ok()?;
        self.known(&item!("last_exit"))?;
        let last_exit = self.optional(Self::rare).ok()?;
        self.known(&item!("failures"))?;
        let failures = self.unsigned()?;
        self.known(&item!("next_attempt_ms"))?;
        let next_attempt_ms = self.optional(Self::unsigned).ok()?;
        self.known(&item!("restarts"))?;
        let restarts = self.unsigned()?;
        let mut following = self.bytes_of_text()?;
        let mut expected = 0;
        let adopted = following == b"adopted";
        if adopted {
            (self.fixed()? == [TRUE]).then_some(())?;
            expected += 1;
            following = self.bytes_of_text()?;
        }
        (following == b"stdout_log").then_some(())?;
        let stdout_log = self.log()?;
        self.known(&item!("stderr_log"))?;
        let stderr_log = self.log()?;
        let listener = if more > expected {
            expected += 1;
            self.known(&item!("listener"))?;
            Some(self.rare()?)
        } else {
            None
        };
        (more == expected).then_some(StatusRow {
            name,
            group,
            process,
            program,
            state,
            pid,
            uptime_ms,
            started_at,
            stopped_at,
            trouble,
            last_exit,
            failures,
            next_attempt_ms,
            restarts,
            adopted,
            stdout_log,
            stderr_log,
            listener,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::samples::{self, Sample};
    use crate::wire::{decode, encode};
    use proptest::prelude::*;

    /// Replies to `Status`, with everything that a row can hold.
    fn replies(text: &str, number: u64) -> Vec<(u64, StatusReply)> {
        let mut replies: Vec<(u64, StatusReply)> = samples::all(text, number, b"")
            .into_iter()
            .filter_map(|(_, sample)| match sample {
                Sample::Server(ServerFrame::Reply {
                    id,
                    response: Response::Status(reply),
                }) => Some((id, reply)),
                Sample::Hello(_) | Sample::Request(_) | Sample::Server(_) => None,
            })
            .collect();
        assert!(replies.len() > 1);
        let (id, mut adopted) = replies[0].clone();
        for (row, moment) in adopted.rows.iter_mut().zip([-1, i64::MIN, i64::MAX, -25]) {
            row.adopted = true;
            row.started_at = Some(moment);
        }
        replies.push((id, adopted));
        replies
    }

    fn borrowed(row: &StatusRow) -> BorrowedRow<'_> {
        let log = |log: &'_ LogState| LogState {
            path: log.path.clone().map(Cow::Owned),
            lost: log.lost,
            errno: log.errno,
        };
        StatusRow {
            name: Cow::Borrowed(&row.name),
            group: Cow::Borrowed(&row.group),
            process: Cow::Borrowed(&row.process),
            program: Cow::Borrowed(&row.program),
            state: row.state,
            pid: row.pid,
            uptime_ms: row.uptime_ms,
            started_at: row.started_at,
            stopped_at: row.stopped_at,
            trouble: row.trouble.clone(),
            last_exit: row.last_exit.clone(),
            failures: row.failures,
            next_attempt_ms: row.next_attempt_ms,
            restarts: row.restarts,
            adopted: row.adopted,
            stdout_log: log(&row.stdout_log),
            stderr_log: log(&row.stderr_log),
            listener: row.listener.clone(),
        }
    }

    fn written(id: u64, reply: &StatusReply) -> Vec<u8> {
        let mut frame = StatusFrame::new(id, reply.rows.len());
        for row in &reply.rows {
            assert_eq!(borrowed(row).into_owned(), *row);
            frame.push(&borrowed(row));
        }
        frame.finish(&reply.unknown).unwrap()
    }

    proptest! {
        #[test]
        fn the_bytes_are_those_of_the_codec_and_are_read_without_it(text in any::<String>(), number in any::<u64>()) {
            for (id, reply) in replies(&text, number) {
                let frame = ServerFrame::Reply { id, response: Response::Status(reply.clone()) };
                let bytes = written(id, &reply);
                prop_assert_eq!(&bytes, &encode(&frame).unwrap());
                prop_assert_eq!(status(&bytes[HEADER_BYTES..]), Some(frame));
            }
        }

        #[test]
        fn what_is_read_is_what_the_codec_reads(
            pick in any::<prop::sample::Index>(),
            changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
            end in any::<prop::sample::Index>(),
        ) {
            let replies = replies("web:0", 4711);
            let (id, reply) = &replies[pick.index(replies.len())];
            let mut content = written(*id, reply).split_off(HEADER_BYTES);
            for (place, byte) in changes {
                let place = place.index(content.len());
                content[place] = byte;
            }
            if let Some(frame) = status(&content) {
                prop_assert_eq!(decode::<ServerFrame>(&content), Ok(frame));
            }
            content.truncate(end.index(content.len()));
            prop_assert_eq!(status(&content), None);
        }
    }

    #[test]
    fn every_other_answer_is_left_to_the_codec() {
        for (name, sample) in samples::all("web:0", 4711, b"out\n") {
            let Sample::Server(frame) = sample else {
                continue;
            };
            let content = encode(&frame).unwrap().split_off(HEADER_BYTES);
            assert_eq!(decode_reply(&content).as_ref(), Ok(&frame), "{name}");
        }
        let newer = encode(&serde_json::json!({"Reply": {"id": 1, "response": "Levitated"}}));
        assert!(matches!(
            decode_reply(&newer.unwrap()[HEADER_BYTES..]),
            Err(DecodeError::Unknown(_))
        ));
    }

    #[test]
    fn a_number_of_rows_that_lies_takes_no_memory() {
        let mut content = written(
            1,
            &StatusReply {
                rows: vec![],
                unknown: vec![],
            },
        );
        let at = content.iter().position(|&byte| byte == ARRAY).unwrap();
        content.splice(
            at..=at,
            [
                ARRAY | EIGHT_BYTES,
                0x7f,
                0xff,
                0xff,
                0xff,
                0xff,
                0xff,
                0xff,
                0xff,
            ],
        );
        assert_eq!(status(&content[HEADER_BYTES..]), None);
    }
}
