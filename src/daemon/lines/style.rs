//! How a line looks: raw, with the name of its program before it, or as JSON.
//!
//! | Format | A line |
//! | --- | --- |
//! | raw | as it was written |
//! | prefix | the name in a column, `\|` (output) or `!` (error), then a blank, or `+` where it goes on the line before |
//! | json | `{"t":TIME,"p":NAME,"s":"out" or "err","m":TEXT}`, and `"more":true` where the line goes on in the next object |
//!
//! A time stands before the line, or in `t`. Bytes that are not UTF-8 stay as they are, except in JSON, which cannot hold
//! them: there each becomes U+FFFD.

use super::assemble::Piece;
use crate::config::model::{LineFormat, Timestamps};
use crate::wire::Channel;
use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::json;
use std::time::{SystemTime, UNIX_EPOCH};

/// Widest column of names; a longer name moves its line.
pub const NAME_COLUMNS: usize = 40;
/// Colours of names, by the order in which programs are first heard of.
const COLOURS: [&str; 6] = ["36", "33", "32", "35", "34", "96"];
/// The mark of the standard error.
const ERROR_COLOUR: &str = "31";

/// How lines look in general.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    /// The form.
    pub format: LineFormat,
    /// Whether each has a time; `None` leaves it to the form.
    pub timestamps: Option<Timestamps>,
}

/// Whose a line is.
#[derive(Debug, Clone, Copy)]
pub struct Speaker<'n> {
    /// The name that is shown.
    pub name: &'n str,
    /// Output or error.
    pub channel: Channel,
    /// Its number among all; picks the colour.
    pub number: usize,
}

/// What depends on where the line is shown.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    /// Colours are understood.
    pub painted: bool,
    /// Width of the column of names.
    pub width: usize,
}

impl Style {
    /// Appends a piece of a line to `out`, with a line feed wherever one is due.
    pub fn write(
        self,
        out: &mut Vec<u8>,
        piece: Piece<'_>,
        speaker: Speaker<'_>,
        place: Place,
        now: SystemTime,
    ) {
        match self.format {
            LineFormat::Raw => {
                if piece.begins {
                    self.stamp(out, now);
                }
                out.extend_from_slice(piece.bytes);
                if piece.ends {
                    out.push(b'\n');
                }
            }
            LineFormat::Prefix => {
                self.stamp(out, now);
                prefix(out, piece.begins, speaker, place);
                let bytes = piece.bytes;
                out.extend_from_slice(bytes.strip_suffix(b"\r").unwrap_or(bytes));
                out.push(b'\n');
            }
            LineFormat::Json => {
                let object = self.json(piece, speaker, now);
                out.extend_from_slice(object.to_string().as_bytes());
                out.push(b'\n');
            }
        }
    }

    fn stamp(self, out: &mut Vec<u8>, now: SystemTime) {
        if let Some(time) = self.timestamps.and_then(|form| time_text(form, now)) {
            out.extend_from_slice(time.as_bytes());
            out.push(b' ');
        }
    }

    fn json(self, piece: Piece<'_>, speaker: Speaker<'_>, now: SystemTime) -> serde_json::Value {
        let bytes = piece.bytes;
        let text = String::from_utf8_lossy(bytes.strip_suffix(b"\r").unwrap_or(bytes));
        let mut object = json!({
            "p": speaker.name,
            "s": match speaker.channel {
                Channel::Stdout => "out",
                Channel::Stderr => "err",
            },
            "m": text,
        });
        let time = match self.timestamps.unwrap_or(Timestamps::Rfc3339) {
            Timestamps::None => None,
            Timestamps::Rfc3339 => Some(rfc3339(now).into()),
            Timestamps::Unix => serde_json::from_str(&unix(now)).ok(),
        };
        if let Some(members) = object.as_object_mut() {
            if let Some(time) = time {
                members.insert("t".to_owned(), time);
            }
            if !piece.ends {
                members.insert("more".to_owned(), true.into());
            }
        }
        object
    }
}

fn prefix(out: &mut Vec<u8>, begins: bool, speaker: Speaker<'_>, place: Place) {
    let (mark, error) = match speaker.channel {
        Channel::Stdout => ('|', false),
        Channel::Stderr => ('!', true),
    };
    let joint = if begins { ' ' } else { '+' };
    let Speaker { name, number, .. } = speaker;
    let width = place.width.min(NAME_COLUMNS);
    let text = if place.painted {
        let colour = COLOURS.get(number % COLOURS.len()).unwrap_or(&"36");
        let of_mark = if error { ERROR_COLOUR } else { colour };
        format!("\x1b[{colour}m{name:width$} \x1b[{of_mark}m{mark}\x1b[0m{joint}")
    } else {
        format!("{name:width$} {mark}{joint}")
    };
    out.extend_from_slice(text.as_bytes());
}

/// A time as it stands before a line.
pub fn time_text(form: Timestamps, now: SystemTime) -> Option<String> {
    match form {
        Timestamps::None => None,
        Timestamps::Rfc3339 => Some(rfc3339(now)),
        Timestamps::Unix => Some(unix(now)),
    }
}

fn rfc3339(now: SystemTime) -> String {
    DateTime::<Utc>::from(now).to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// Seconds since 1970 with three decimals.
fn unix(now: SystemTime) -> String {
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("{}.{:03}", since.as_secs(), since.subsec_millis())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn line(style: Style, piece: Piece<'_>, channel: Channel, place: Place) -> String {
        let speaker = Speaker {
            name: "web",
            channel,
            number: 1,
        };
        let now = UNIX_EPOCH + Duration::from_millis(1_763_974_141_007);
        let mut out = Vec::new();
        style.write(&mut out, piece, speaker, place, now);
        String::from_utf8(out).unwrap()
    }

    const WHOLE: Piece<'_> = Piece {
        bytes: b"GET \"/\"\r",
        begins: true,
        ends: true,
    };
    const FIRST: Piece<'_> = Piece {
        ends: false,
        ..WHOLE
    };
    const LAST: Piece<'_> = Piece {
        begins: false,
        ..WHOLE
    };
    const PLAIN: Place = Place {
        painted: false,
        width: 6,
    };

    fn style(format: LineFormat, timestamps: Option<Timestamps>) -> Style {
        Style { format, timestamps }
    }

    #[test]
    fn each_format_has_its_form() {
        use LineFormat::{Json, Prefix, Raw};
        let out = Channel::Stdout;
        let rfc = Some(Timestamps::Rfc3339);
        for (format, timestamps, piece, expected) in [
            (Raw, None, WHOLE, "GET \"/\"\r\n"),
            (Raw, None, FIRST, "GET \"/\"\r"),
            (Raw, rfc, FIRST, "2025-11-24T08:49:01.007Z GET \"/\"\r"),
            (Raw, rfc, LAST, "GET \"/\"\r\n"),
            (Prefix, None, WHOLE, "web    | GET \"/\"\n"),
            (Prefix, None, FIRST, "web    | GET \"/\"\n"),
            (Prefix, None, LAST, "web    |+GET \"/\"\n"),
            (
                Prefix,
                Some(Timestamps::Unix),
                WHOLE,
                "1763974141.007 web    | GET \"/\"\n",
            ),
            (
                Json,
                Some(Timestamps::None),
                WHOLE,
                "{\"m\":\"GET \\\"/\\\"\",\"p\":\"web\",\"s\":\"out\"}\n",
            ),
        ] {
            let shown = line(style(format, timestamps), piece, out, PLAIN);
            assert_eq!(shown, expected, "{format:?} {timestamps:?} {piece:?}");
        }
        let shown = line(style(Prefix, None), WHOLE, Channel::Stderr, PLAIN);
        assert_eq!(shown, "web    ! GET \"/\"\n");
    }

    #[test]
    fn json_tells_time_and_whether_more_comes() {
        let shown = line(style(LineFormat::Json, None), FIRST, Channel::Stderr, PLAIN);
        let object: serde_json::Value = serde_json::from_str(&shown).unwrap();
        assert_eq!(
            object,
            json!({"t": "2025-11-24T08:49:01.007Z", "p": "web", "s": "err", "m": "GET \"/\"", "more": true})
        );
        let unix = style(LineFormat::Json, Some(Timestamps::Unix));
        let shown = line(unix, WHOLE, Channel::Stdout, PLAIN);
        let object: serde_json::Value = serde_json::from_str(&shown).unwrap();
        assert_eq!(object["t"], json!(1_763_974_141.007));
        assert_eq!(object.get("more"), None);
        let binary = Piece {
            bytes: b"a\xffb",
            ..WHOLE
        };
        let shown = line(unix, binary, Channel::Stdout, PLAIN);
        let object: serde_json::Value = serde_json::from_str(&shown).unwrap();
        assert_eq!(object["m"], "a\u{fffd}b");
    }

    #[test]
    fn colours_end_before_the_text() {
        let painted = Place {
            painted: true,
            ..PLAIN
        };
        let prefix = style(LineFormat::Prefix, None);
        assert_eq!(
            line(prefix, WHOLE, Channel::Stderr, painted),
            "\x1b[33mweb    \x1b[31m!\x1b[0m GET \"/\"\n"
        );
        let json = style(LineFormat::Json, Some(Timestamps::None));
        assert!(!line(json, WHOLE, Channel::Stdout, painted).contains('\x1b'));
    }
}
