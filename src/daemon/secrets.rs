//! Masking secrets in environment variables, so that no value of one ever crosses the socket.
//!
//! What is a secret cannot be known, only guessed: by words in the variable's name, and by forms of values that carry a
//! password. In doubt a value is masked. The mask says nothing about the length.

/// What stands in place of a secret.
pub const MASK: &str = "****";

/// Words that make a name suspicious wherever they stand in it.
const ANYWHERE: [&str; 8] = [
    "PASSWORD",
    "PASSWD",
    "PASSPHRASE",
    "SECRET",
    "TOKEN",
    "CREDENTIAL",
    "APIKEY",
    "PRIVATE",
];
/// Words that make it suspicious as a part between `_`, `-` and `.`.
const AS_A_PART: [&str; 14] = [
    "PASS",
    "PWD",
    "PW",
    "KEY",
    "KEYS",
    "AUTH",
    "CREDS",
    "COOKIE",
    "SALT",
    "SIGNATURE",
    "BEARER",
    "JWT",
    "OTP",
    "PIN",
];
/// Names of settings within a value (`password=…` of a database) whose value is masked.
const SETTINGS: [&str; 7] = [
    "password=",
    "passwd=",
    "pwd=",
    "secret=",
    "token=",
    "apikey=",
    "api_key=",
];

/// The value as it may be shown, and whether anything was replaced.
pub fn mask(name: &str, value: &str) -> (String, bool) {
    if value.is_empty() {
        return (String::new(), false);
    }
    if is_suspicious(name) || value.contains("PRIVATE KEY-----") {
        return (MASK.to_owned(), true);
    }
    let shown = mask_settings(&mask_urls(value));
    let masked = shown != value;
    (shown, masked)
}

fn is_suspicious(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    // The one name in which the word means a directory.
    if matches!(name.as_str(), "PWD" | "OLDPWD") {
        return false;
    }
    ANYWHERE.iter().any(|word| name.contains(word))
        || name
            .split(['_', '-', '.'])
            .any(|part| AS_A_PART.contains(&part))
}

/// Masks `PASSWORD` in every `scheme://USER:PASSWORD@host`.
fn mask_urls(value: &str) -> String {
    let mut shown = String::with_capacity(value.len());
    let mut rest = value;
    while let Some(at) = rest.find("://") {
        let (before, authority) = rest.split_at(at + 3);
        shown.push_str(before);
        // A careless password may hold any of the characters that end an authority, so the last `@` counts.
        let word = authority
            .find(|character: char| character.is_whitespace() || matches!(character, '"' | '\''))
            .unwrap_or(authority.len());
        let word = authority.get(..word).unwrap_or_default();
        let next = word.find("://").unwrap_or(word.len());
        let word = word.get(..next).unwrap_or_default();
        match word
            .rfind('@')
            .and_then(|end| Some((word.get(..end)?, end)))
        {
            Some((account, end)) if account.contains(':') => {
                let user = account.split(':').next().unwrap_or_default();
                shown.push_str(user);
                shown.push(':');
                shown.push_str(MASK);
                shown.push_str(word.get(end..).unwrap_or_default());
            }
            Some(_) | None => shown.push_str(word),
        }
        rest = authority.get(word.len()..).unwrap_or_default();
    }
    shown.push_str(rest);
    shown
}

/// Masks what follows `password=` and its like, to the next separator.
fn mask_settings(value: &str) -> String {
    let lower = value.to_ascii_lowercase();
    // Where settings are separated by semicolons, their values may hold anything else.
    let is_end = |character: char| {
        character == ';'
            || !value.contains(';') && (character.is_whitespace() || matches!(character, '&' | ','))
    };
    let mut shown = String::with_capacity(value.len());
    let mut at = 0;
    while let Some((start, setting)) = SETTINGS
        .iter()
        .filter_map(|setting| Some((at + lower.get(at..)?.find(setting)?, setting)))
        .min()
    {
        let from = start + setting.len();
        let text = value.get(from..).unwrap_or_default();
        let length = match text.chars().next() {
            Some(quote @ ('"' | '\'')) => text
                .get(1..)
                .and_then(|inner| inner.find(quote))
                .map_or(text.len(), |end| end + 2),
            Some(_) | None => text.find(is_end).unwrap_or(text.len()),
        };
        shown.push_str(value.get(at..from).unwrap_or_default());
        if length > 0 {
            shown.push_str(MASK);
        }
        at = from + length;
    }
    shown.push_str(value.get(at..).unwrap_or_default());
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_secrets() {
        for name in [
            "PASSWORD",
            "DB_PASSWORD",
            "PGPASSWORD",
            "db.passwd",
            "MYSQL_PWD",
            "SECRET_KEY_BASE",
            "AWS_SECRET_ACCESS_KEY",
            "GITHUB_TOKEN",
            "authToken",
            "API_KEY",
            "SSH_KEYS",
            "GOOGLE_APPLICATION_CREDENTIALS",
            "HTTP_AUTH",
            "PRIVATE_PEM",
            "SESSION_COOKIE",
        ] {
            assert_eq!(mask(name, "hunter2"), (MASK.to_owned(), true), "{name}");
            assert_eq!(mask(name, ""), (String::new(), false), "{name}");
        }
        for name in [
            "PATH", "HOME", "PWD", "OLDPWD", "KEYBOARD", "AUTHOR", "PINGS", "PASSING", "LANG",
        ] {
            assert_eq!(mask(name, "plain"), ("plain".to_owned(), false), "{name}");
        }
    }

    #[test]
    fn values_tell_secrets() {
        for (value, shown) in [
            ("postgres://u:pw@h/db", "postgres://u:****@h/db"),
            ("postgres://u:p@w/x@h:5/db", "postgres://u:****@h:5/db"),
            ("redis://:pw@h", "redis://:****@h"),
            ("https://user@h/", "https://user@h/"),
            ("http://h:8080/a:b", "http://h:8080/a:b"),
            (
                "amqp://a:b@c,amqp://d:e@f",
                "amqp://a:****@c,amqp://d:****@f",
            ),
            ("x http://a:b@c y", "x http://a:****@c y"),
            ("host=db password=pw user=u", "host=db password=**** user=u"),
            ("Server=db;Password=p w;X=1", "Server=db;Password=****;X=1"),
            ("password='p w' x", "password=**** x"),
            (
                "jdbc:x://h/d?user=u&password=pw&ssl=1",
                "jdbc:x://h/d?user=u&password=****&ssl=1",
            ),
            ("-----BEGIN RSA PRIVATE KEY-----\nabc", "****"),
        ] {
            assert_eq!(mask("URL", value).0, shown, "{value}");
            assert_eq!(mask("URL", value).1, shown != value, "{value}");
        }
    }
}
