//! Names of groups, programs and processes, and the pair that identifies one process.
//!
//! A name is cheap to clone (a shared string). Which characters a *configured* name may hold is decided by
//! [`check_name`]; the constructors apply it, except for [`ProcessName`], which may hold the `:` of a copy that lives
//! in a named group (`web:0` in group `site`, shown as `site:web:0`).

use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

/// Why a name was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The name is empty.
    #[error("the name is empty")]
    Empty,
    /// The name holds a character that a console argument, a path or a terminal could misread.
    #[error("invalid name {name:?} because of character {character:?}")]
    Character {
        /// The whole name.
        name: String,
        /// The first character at fault.
        character: char,
    },
    /// The name is longer than [`MAX_NAME_BYTES`].
    #[error("the name is longer than {MAX_NAME_BYTES} bytes")]
    TooLong,
}

/// Longest name in bytes: leaves room for `_N_out.log.NN` in a file name of 255 bytes.
pub const MAX_NAME_BYTES: usize = 200;

fn check_name(name: &str, colon_allowed: bool) -> Result<(), NameError> {
    if name.is_empty() {
        return Err(NameError::Empty);
    }
    if name.len() > MAX_NAME_BYTES {
        return Err(NameError::TooLong);
    }
    let bad =
        |c: char| c.is_whitespace() || c.is_control() || c == '/' || (c == ':' && !colon_allowed);
    match name.chars().find(|&c| bad(c)) {
        Some(character) => Err(NameError::Character {
            name: name.to_owned(),
            character,
        }),
        None => Ok(()),
    }
}

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident, colon_allowed = $colon:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(name: String) -> Result<Self, NameError> {
                Self::new(&name)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0.as_ref().to_owned()
            }
        }

        impl $name {
            /// Checks `name` and wraps it.
            pub fn new(name: &str) -> Result<Self, NameError> {
                check_name(name, $colon)?;
                Ok(Self(Arc::from(name)))
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }
    };
}

name_type!(
    /// Name of a group: that of its `[group.NAME]` section, else that of its only program.
    GroupName,
    colon_allowed = false
);
name_type!(
    /// Name of a program: the `NAME` of `[program.NAME]`.
    ProgramName,
    colon_allowed = false
);
name_type!(
    /// Name of one process inside its group.
    ProcessName,
    colon_allowed = true
);

/// Identifies one process: its group and its name within the group. Sorts by group, then process.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ProcessKey {
    /// The group it belongs to.
    pub group: GroupName,
    /// Its name within the group.
    pub process: ProcessName,
}

impl ProcessKey {
    /// The name shown to users: `NAME` when group and process are called the same, else `GROUP:PROCESS`.
    pub fn shown(&self) -> Cow<'_, str> {
        let (group, process) = (self.group.as_str(), self.process.as_str());
        if group == process {
            Cow::Borrowed(process)
        } else {
            Cow::Owned([group, ":", process].concat())
        }
    }
}

impl fmt::Display for ProcessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.shown())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_refuse_what_could_be_misread() {
        for (name, ok) in [
            ("web", true),
            ("web-1.2_x", true),
            ("wéb", true),
            ("", false),
            ("a b", false),
            ("a/b", false),
            ("a:b", false),
            ("a\u{1b}b", false),
            ("a\nb", false),
        ] {
            assert_eq!(ProgramName::new(name).is_ok(), ok, "{name:?}");
        }
        assert!(ProgramName::new(&"x".repeat(MAX_NAME_BYTES)).is_ok());
        assert_eq!(
            ProgramName::new(&"x".repeat(MAX_NAME_BYTES + 1)),
            Err(NameError::TooLong)
        );
        assert!(ProcessName::new("web:0").is_ok());
    }

    #[test]
    fn a_key_is_shown_short_where_group_and_process_agree() {
        let key = |group, process| ProcessKey {
            group: GroupName::new(group).unwrap(),
            process: ProcessName::new(process).unwrap(),
        };
        assert_eq!(key("web", "web").to_string(), "web");
        assert_eq!(key("web", "0").to_string(), "web:0");
        assert_eq!(key("site", "web:0").to_string(), "site:web:0");
        assert_eq!(format!("{:<8}|", key("web", "0")), "web:0   |");
    }
}
