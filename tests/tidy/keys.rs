//! The keys of a configuration file, as the test of the manual sees them.

use taskmaster::config::schema::{Effect, KEYS};

/// One key of one kind of section.
pub struct DocumentedKey {
    /// Its name.
    pub name: String,
    /// Its other spellings.
    pub aliases: Vec<String>,
    /// Known and without effect: it is enough to be mentioned.
    pub idle: bool,
}

/// Every key there is.
pub fn configuration_keys() -> Vec<DocumentedKey> {
    KEYS.iter()
        .map(|key| DocumentedKey {
            name: key.name.to_owned(),
            aliases: key.aliases.iter().map(|&alias| alias.to_owned()).collect(),
            idle: key.effect != Effect::Effective,
        })
        .collect()
}
