//! `%(name)s`: one pass, no recursion, nothing but named variables.
//!
//! The form is that of Python's `%` operator with a dictionary, as far as it makes sense here: flags, width and precision
//! (`%(process_num)02d`), the conversions `d i u o x X c` for numbers and `s` for everything, `%%` for a per cent sign.
//! What a variable holds is never expanded again. A bare `%s`, into which Supervisor writes all variables at once,
//! environment included, is refused.

use super::suggest;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

/// Longest text that an expansion may produce, in bytes.
pub const EXPANDED_BYTES_MAX: usize = 128 * 1024;

/// What a variable holds.
#[derive(Debug, Clone, Copy)]
pub enum Variable<'a> {
    /// A text.
    Text(&'a str),
    /// A number, which can be formatted as one.
    Number(u32),
}

/// The variables at one place of the file.
#[derive(Debug, Clone, Default)]
pub struct Scope<'a> {
    /// Variables by name, without those of the environment.
    pub variables: Vec<(&'static str, Variable<'a>)>,
    /// What `ENV_` names look in; later ones win.
    pub environment: Vec<&'a BTreeMap<String, String>>,
}

impl<'a> Scope<'a> {
    fn get(&self, name: &str) -> Option<Variable<'a>> {
        if let Some(name) = name.strip_prefix("ENV_") {
            let found = self
                .environment
                .iter()
                .rev()
                .find_map(|layer| layer.get(name));
            return found.map(|value| Variable::Text(value));
        }
        self.variables
            .iter()
            .find(|(known, _)| *known == name)
            .map(|&(_, variable)| variable)
    }

    fn nearest(&self, name: &str) -> Option<String> {
        if let Some(bare) = name.strip_prefix("ENV_") {
            let names = self.environment.iter().flat_map(|layer| layer.keys());
            return suggest::nearest(bare, names.map(String::as_str))
                .map(|found| format!("ENV_{found}"));
        }
        if self
            .environment
            .iter()
            .any(|layer| layer.contains_key(name))
        {
            return Some(format!("ENV_{name}"));
        }
        suggest::nearest(name, self.variables.iter().map(|(name, _)| *name)).map(str::to_owned)
    }
}

/// Why a text cannot be expanded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpandError {
    /// Where.
    pub range: Range<usize>,
    /// Why.
    pub kind: ExpandErrorKind,
}

/// What can be wrong with a `%`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExpandErrorKind {
    /// No such variable here.
    #[error("not known here")]
    Unknown {
        /// The name.
        name: String,
        /// What was probably meant.
        nearest: Option<String>,
        /// What is known here.
        available: Vec<&'static str>,
    },
    /// `%` without a name in parentheses.
    #[error("a lone `%` is not allowed")]
    Bare,
    /// `%(` without `)`.
    #[error("this parenthesis is never closed")]
    NotClosed,
    /// `%(name)` without a conversion behind it.
    #[error("`%({name})` lacks its conversion")]
    ConversionMissing {
        /// The name.
        name: String,
    },
    /// A conversion that does not exist.
    #[error("`{conversion}` is not a conversion")]
    Conversion {
        /// The character.
        conversion: char,
    },
    /// A number's conversion for a text.
    #[error("`{name}` is a text and cannot be formatted with `{conversion}`")]
    NotANumber {
        /// The name.
        name: String,
        /// The conversion.
        conversion: char,
    },
    /// More than [`EXPANDED_BYTES_MAX`] bytes.
    #[error("the value is longer than 128 KiB after expansion")]
    TooLong,
}

/// Whether `text` holds anything to expand.
pub fn is_template(text: &str) -> bool {
    text.contains('%')
}

/// Expands `text` with the variables of `scope`, or returns every fault in it.
pub fn expand<'t>(text: &'t str, scope: &Scope<'_>) -> Result<Cow<'t, str>, Vec<ExpandError>> {
    if !is_template(text) {
        return Ok(Cow::Borrowed(text));
    }
    let mut out = String::with_capacity(text.len() + 32);
    let mut errors = Vec::new();
    let mut rest = 0;
    while let Some(at) = text.get(rest..).and_then(|tail| tail.find('%')) {
        let percent = rest + at;
        out.push_str(text.get(rest..percent).unwrap_or_default());
        match conversion(text, percent, scope, &mut out) {
            Ok(end) => rest = end,
            Err(error) => {
                rest = error.range.end.max(percent + 1);
                errors.push(error);
            }
        }
        if out.len() > EXPANDED_BYTES_MAX {
            errors.push(ExpandError {
                range: 0..text.len(),
                kind: ExpandErrorKind::TooLong,
            });
            break;
        }
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    out.push_str(text.get(rest..).unwrap_or_default());
    Ok(Cow::Owned(out))
}

/// Expands the conversion that begins at `percent` and returns where the text goes on.
fn conversion(
    text: &str,
    percent: usize,
    scope: &Scope<'_>,
    out: &mut String,
) -> Result<usize, ExpandError> {
    let fail = |range: Range<usize>, kind| Err(ExpandError { range, kind });
    let tail = text.get(percent + 1..).unwrap_or_default();
    if tail.starts_with('%') {
        out.push('%');
        return Ok(percent + 2);
    }
    let Some(named) = tail.strip_prefix('(') else {
        let next = tail.chars().next().filter(|next| !next.is_whitespace());
        let end = percent + 1 + next.map_or(0, char::len_utf8);
        return fail(percent..end, ExpandErrorKind::Bare);
    };
    let Some(length) = named.find(')') else {
        return fail(percent..percent + 2, ExpandErrorKind::NotClosed);
    };
    let name = named.get(..length).unwrap_or_default();
    let name_start = percent + 2;
    let format_start = name_start + length + 1;
    let format = text.get(format_start..).unwrap_or_default();
    let Some(variable) = scope.get(name) else {
        return fail(
            name_start..name_start + length,
            ExpandErrorKind::Unknown {
                name: name.to_owned(),
                nearest: scope.nearest(name),
                available: scope.variables.iter().map(|(name, _)| *name).collect(),
            },
        );
    };
    let (spec, used) = Spec::read(format);
    let Some(kind) = format.get(used..).and_then(|rest| rest.chars().next()) else {
        let name = name.to_owned();
        return fail(
            percent..format_start + used,
            ExpandErrorKind::ConversionMissing { name },
        );
    };
    let end = format_start + used + kind.len_utf8();
    match spec.format(variable, kind) {
        Ok(formatted) => out.push_str(&formatted),
        Err(Unfit::Conversion) if kind.is_alphanumeric() => {
            return fail(
                format_start + used..end,
                ExpandErrorKind::Conversion { conversion: kind },
            );
        }
        Err(Unfit::Conversion) => {
            let name = name.to_owned();
            return fail(
                percent..format_start + used,
                ExpandErrorKind::ConversionMissing { name },
            );
        }
        Err(Unfit::Text) => {
            return fail(
                format_start + used..end,
                ExpandErrorKind::NotANumber {
                    name: name.to_owned(),
                    conversion: kind,
                },
            );
        }
    }
    Ok(end)
}

enum Unfit {
    Conversion,
    Text,
}

/// Flags, width and precision of a conversion.
#[derive(Debug, Default)]
struct Spec {
    left: bool,
    zero: bool,
    plus: bool,
    blank: bool,
    alternate: bool,
    width: usize,
    precision: Option<usize>,
}

impl Spec {
    /// Reads the specification at the start of `format`; returns it with its length.
    fn read(format: &str) -> (Self, usize) {
        let mut spec = Self::default();
        let mut used = 0;
        let mut characters = format.chars().peekable();
        while let Some(&flag) = characters.peek() {
            match flag {
                '-' => spec.left = true,
                '0' => spec.zero = true,
                '+' => spec.plus = true,
                ' ' => spec.blank = true,
                '#' => spec.alternate = true,
                _ => break,
            }
            characters.next();
            used += 1;
        }
        let mut number = |used: &mut usize| {
            let mut value = 0_usize;
            while let Some(digit) = characters.peek().and_then(|next| next.to_digit(10)) {
                value = value.saturating_mul(10).saturating_add(digit as usize);
                characters.next();
                *used += 1;
            }
            let dot = characters.next_if_eq(&'.').is_some();
            *used += usize::from(dot);
            (value, dot)
        };
        let (width, dot) = number(&mut used);
        // A bound here keeps a width such as 10^12 from being written out before the length is looked at.
        spec.width = width.min(EXPANDED_BYTES_MAX + 1);
        if dot {
            let (precision, _) = number(&mut used);
            spec.precision = Some(precision.min(EXPANDED_BYTES_MAX + 1));
        }
        (spec, used)
    }

    fn format(&self, variable: Variable<'_>, kind: char) -> Result<String, Unfit> {
        let body = match (kind, variable) {
            ('s', Variable::Text(text)) => return Ok(self.pad(&self.cut(text))),
            ('s', Variable::Number(number)) => {
                return Ok(self.pad(&self.cut(&number.to_string())));
            }
            ('d' | 'i' | 'u', Variable::Number(number)) => self.digits("", &number.to_string()),
            ('o', Variable::Number(number)) => self.digits("0o", &format!("{number:o}")),
            ('x', Variable::Number(number)) => self.digits("0x", &format!("{number:x}")),
            ('X', Variable::Number(number)) => self.digits("0X", &format!("{number:X}")),
            ('c', Variable::Number(number)) => {
                let character = char::from_u32(number).ok_or(Unfit::Conversion)?;
                return Ok(self.pad(&character.to_string()));
            }
            ('d' | 'i' | 'u' | 'o' | 'x' | 'X' | 'c', Variable::Text(_)) => {
                return Err(Unfit::Text);
            }
            _ => return Err(Unfit::Conversion),
        };
        Ok(self.pad(&body))
    }

    fn digits(&self, prefix: &str, digits: &str) -> String {
        let sign = match (self.plus, self.blank) {
            (true, _) => "+",
            (false, true) => " ",
            (false, false) => "",
        };
        let prefix = if self.alternate { prefix } else { "" };
        let head = sign.len() + prefix.len();
        let mut wanted = self.precision.unwrap_or(0);
        if self.zero && !self.left {
            wanted = wanted.max(self.width.saturating_sub(head));
        }
        let zeros = "0".repeat(wanted.saturating_sub(digits.len()));
        format!("{sign}{prefix}{zeros}{digits}")
    }

    fn cut<'t>(&self, text: &'t str) -> Cow<'t, str> {
        match self.precision {
            Some(most) => text.chars().take(most).collect::<String>().into(),
            None => text.into(),
        }
    }

    fn pad(&self, body: &str) -> String {
        let blanks = " ".repeat(self.width.saturating_sub(body.chars().count()));
        if self.left {
            format!("{body}{blanks}")
        } else {
            format!("{blanks}{body}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_scope<T>(run: impl FnOnce(&Scope<'_>) -> T) -> T {
        let environment = BTreeMap::from([
            ("HOME".to_owned(), "/root".to_owned()),
            ("TRICK".to_owned(), "%(here)s %s".to_owned()),
        ]);
        run(&Scope {
            variables: vec![
                ("program_name", Variable::Text("web")),
                ("here", Variable::Text("/etc")),
                ("process_num", Variable::Number(7)),
                ("numprocs", Variable::Number(12)),
            ],
            environment: vec![&environment],
        })
    }

    #[test]
    fn variables_are_formatted_as_python_does() {
        for (text, expected) in [
            ("plain", "plain"),
            ("%(program_name)s-%(process_num)d", "web-7"),
            ("%(process_num)02d", "07"),
            ("%(process_num)5d|", "    7|"),
            ("%(process_num)-5d|", "7    |"),
            ("%(process_num)+d", "+7"),
            ("%(process_num)s", "7"),
            ("%(process_num).3d", "007"),
            ("%(numprocs)x %(numprocs)X %(numprocs)o", "c C 14"),
            ("%(numprocs)#x", "0xc"),
            ("%(numprocs)#06x", "0x000c"),
            ("%(program_name)6s|", "   web|"),
            ("%(program_name)-6s|", "web   |"),
            ("%(program_name).2s", "we"),
            ("100%%", "100%"),
            ("%%(here)s", "%(here)s"),
            ("%(ENV_HOME)s/x", "/root/x"),
            ("%(ENV_TRICK)s", "%(here)s %s"),
        ] {
            let found = with_scope(|scope| expand(text, scope).map(Cow::into_owned));
            assert_eq!(found, Ok(expected.to_owned()), "{text:?}");
        }
        let character = Scope {
            variables: vec![("process_num", Variable::Number(65))],
            environment: Vec::new(),
        };
        assert_eq!(expand("%(process_num)c", &character).unwrap(), "A");
    }

    #[test]
    fn faults_are_found_at_their_place() {
        for (text, range, message) in [
            ("a %s", 2..4, "a lone `%` is not allowed"),
            ("50%", 2..3, "a lone `%` is not allowed"),
            ("50% x", 2..3, "a lone `%` is not allowed"),
            ("%(here", 0..2, "this parenthesis is never closed"),
            ("%(here)", 0..7, "`%(here)` lacks its conversion"),
            ("%(here)/x", 0..7, "`%(here)` lacks its conversion"),
            ("%(nope)s", 2..6, "not known here"),
            ("%()s", 2..2, "not known here"),
            ("%(here)q", 7..8, "`q` is not a conversion"),
            ("%(process_num)r", 14..15, "`r` is not a conversion"),
            (
                "%(here)d",
                7..8,
                "`here` is a text and cannot be formatted with `d`",
            ),
        ] {
            let [error] = &with_scope(|scope| expand(text, scope).unwrap_err())[..] else {
                panic!("{text:?}")
            };
            assert_eq!(error.range, range, "{text:?}");
            assert_eq!(error.kind.to_string(), message, "{text:?}");
        }
    }

    #[test]
    fn a_near_name_is_offered_and_length_is_bounded() {
        let nearest = |text: &str| {
            with_scope(|scope| {
                let kind = expand(text, scope).unwrap_err().remove(0).kind;
                let ExpandErrorKind::Unknown { nearest, .. } = kind else {
                    panic!("{kind:?}")
                };
                nearest
            })
        };
        assert_eq!(nearest("%(programname)s").as_deref(), Some("program_name"));
        assert_eq!(nearest("%(ENV_HOEM)s").as_deref(), Some("ENV_HOME"));
        assert_eq!(nearest("%(HOME)s").as_deref(), Some("ENV_HOME"));
        for text in ["%(process_num)999999999999d", "%(here)999999999s"] {
            let [error] = &with_scope(|scope| expand(text, scope).unwrap_err())[..] else {
                panic!("{text:?}")
            };
            assert_eq!(error.kind, ExpandErrorKind::TooLong, "{text:?}");
        }
    }
}
