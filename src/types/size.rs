//! Byte counts as configuration files write them: `512`, `64KB`, `50MB`, `1GB`.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A count of bytes.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct ByteSize(pub u64);

/// Why a text is not a byte count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ByteSizeError {
    /// Not a whole number with an optional `KB`, `MB` or `GB`.
    #[error("not a byte count: expected a whole number, optionally followed by KB, MB or GB")]
    Format,
    /// More bytes than 64 bits can count.
    #[error("the byte count is too large")]
    TooLarge,
}

impl FromStr for ByteSize {
    type Err = ByteSizeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let lower = text.trim().to_ascii_lowercase();
        let (digits, unit) = [
            ("kb", 1024),
            ("mb", 1024 * 1024),
            ("gb", 1024 * 1024 * 1024),
        ]
        .into_iter()
        .find_map(|(suffix, unit)| {
            lower
                .strip_suffix(suffix)
                .map(|digits| (digits.trim_end(), unit))
        })
        .unwrap_or((lower.as_str(), 1));
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(ByteSizeError::Format);
        }
        let count: u64 = digits.parse().map_err(|_| ByteSizeError::TooLarge)?;
        count
            .checked_mul(unit)
            .map(Self)
            .ok_or(ByteSizeError::TooLarge)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (suffix, unit) in [("GB", 1 << 30), ("MB", 1 << 20), ("KB", 1 << 10)] {
            if self.0 != 0 && self.0.is_multiple_of(unit) {
                return write!(f, "{}{suffix}", self.0 / unit);
            }
        }
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_and_print() {
        for (text, expected) in [
            ("0", Ok(0)),
            ("512", Ok(512)),
            ("1KB", Ok(1024)),
            ("50MB", Ok(50 << 20)),
            ("50 mb", Ok(50 << 20)),
            ("2gb", Ok(2 << 30)),
            ("1K", Err(ByteSizeError::Format)),
            ("1.5MB", Err(ByteSizeError::Format)),
            ("-1", Err(ByteSizeError::Format)),
            ("", Err(ByteSizeError::Format)),
            ("MB", Err(ByteSizeError::Format)),
            ("99999999999999999999", Err(ByteSizeError::TooLarge)),
            ("18446744073709551615GB", Err(ByteSizeError::TooLarge)),
        ] {
            assert_eq!(
                text.parse::<ByteSize>().map(|size| size.0),
                expected,
                "{text:?}"
            );
        }
        assert_eq!(ByteSize(50 << 20).to_string(), "50MB");
        assert_eq!(ByteSize(1000).to_string(), "1000");
        assert_eq!(ByteSize(0).to_string(), "0");
    }
}
