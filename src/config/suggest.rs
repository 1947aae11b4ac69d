//! "Did you mean": the known word that is nearest to a misspelt one.

/// The nearest of `known` to `word`, if it is near enough to have been meant.
///
/// Near means a Damerau-Levenshtein distance of at most a third of the word's length (at least 1, at most 3), so that
/// `autorestrt` finds `autorestart` while `foo` finds nothing. Case does not count.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    let limit = (word.chars().count() / 3).clamp(1, 3);
    known
        .into_iter()
        .filter(|candidate| candidate.len().abs_diff(word.len()) <= limit * 4)
        .map(|candidate| {
            let lower = candidate.to_lowercase();
            (strsim::damerau_levenshtein(&word, &lower), candidate)
        })
        .filter(|&(distance, candidate)| distance <= limit && distance < candidate.chars().count())
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_near_word_is_found_and_a_far_one_is_not() {
        let known = ["autorestart", "autostart", "command", "exitcodes"];
        for (word, expected) in [
            ("autorestrt", Some("autorestart")),
            ("autostrat", Some("autostart")),
            ("AutoStart", Some("autostart")),
            ("exicodes", Some("exitcodes")),
            ("comand", Some("command")),
            ("bogus_key", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, known), expected, "{word:?}");
        }
    }
}
