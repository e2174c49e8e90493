//! The one quoting function for shell text: nothing else in the program puts a value into it.
//!
//! Not `shlex`, which chooses between two styles of quotes by the value: this one always writes single
//! quotes, which no shell reads anything into, and the sandbox's servers read frames by that.

/// One word for any POSIX shell: `quote("it's")` is `'it'\''s'`.
///
/// The value must not contain NUL, which no shell word can hold; such bytes are left out.
pub fn quote(value: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_./:,@%+-".contains(&byte);
    // A leading `-` or `~` never reaches this branch as something special: `~` is not plain, and an
    // option is an option with or without quotes.
    if !value.is_empty() && value.bytes().all(plain) {
        return value.to_owned();
    }
    let mut word = String::with_capacity(value.len() + 2);
    word.push('\'');
    for c in value.chars() {
        match c {
            '\'' => word.push_str("'\\''"),
            '\0' => {}
            c => word.push(c),
        }
    }
    word.push('\'');
    word
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;

    fn through_a_shell(value: &str) -> String {
        let script = format!("printf %s {}", quote(value));
        let out = Command::new("sh").arg("-c").arg(script).output().unwrap();
        assert!(out.status.success());
        String::from_utf8(out.stdout).unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn a_real_shell_gives_back_what_was_quoted(value in "[^\0]{0,40}") {
            prop_assert_eq!(through_a_shell(&value), value);
        }

        #[test]
        fn shell_text_stays_text(value in "[$`'\"\\\\(){};&|<>*?~!# \n\t\ra-c-]{0,40}") {
            prop_assert_eq!(through_a_shell(&value), value);
        }
    }

    #[test]
    fn quotes_only_where_needed() {
        assert_eq!(quote("/opt/worker-1/a.b"), "/opt/worker-1/a.b");
        assert_eq!(quote(""), "''");
        assert_eq!(quote("it's"), "'it'\\''s'");
    }
}
