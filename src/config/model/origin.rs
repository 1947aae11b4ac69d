//! Where the keys of a file stand, for messages.

use crate::config::schema;
use serde::{Deserialize, Deserializer, Serialize};
use std::path::Path;
use std::sync::Arc;

/// Where a key was given its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeyOrigin {
    /// The key's own name, whatever spelling the file uses.
    pub key: &'static str,
    /// The file.
    pub file: Arc<Path>,
    /// Its line, from 1.
    pub line: u32,
}

/// Reads back where keys stand; one that this version does not know is left out.
pub(super) fn known<'de, D: Deserializer<'de>>(input: D) -> Result<Arc<[KeyOrigin]>, D::Error> {
    #[derive(Deserialize)]
    struct Written {
        key: String,
        file: Arc<Path>,
        line: u32,
    }
    let written = Vec::<Written>::deserialize(input)?;
    let known = written
        .into_iter()
        .filter_map(|Written { key, file, line }| {
            let key = schema::KEYS.iter().find(|known| known.name == key)?.name;
            Some(KeyOrigin { key, file, line })
        });
    Ok(known.collect())
}
