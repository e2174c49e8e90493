//! Which contents are never shown and never kept, whoever may read the file: the rule is stated here, once. A file that
//! others may not read is another one's to judge: its mode says it.

/// Endings of names of files with keys and passwords.
const ENDINGS: [&str; 12] =
    [".key", ".pem", ".p12", ".pfx", ".jks", ".keystore", ".kdbx", ".gpg", ".age", ".ppk", ".vault", ".env"];

/// Names, or pieces of names, that say it themselves.
const WORDS: [&str; 6] = ["secret", "passw", "credential", "token", "htpasswd", "private"];

/// Whole names.
const NAMES: [&str; 6] = [".netrc", ".pgpass", "id_rsa", "id_ed25519", "id_ecdsa", "id_dsa"];

/// How contents begin, or what they have, that are keys or vaults wherever they are.
const MARKS: [&str; 3] = ["PRIVATE KEY-----", "PRIVATE KEY BLOCK-----", "$ANSIBLE_VAULT"];

/// Whether the path below a job's folder says that the content is a secret.
pub(crate) fn is_secret_path(path: &str) -> bool {
    let path = path.to_lowercase();
    let name = path.rsplit('/').next().unwrap_or(&path);
    path.split('/').any(|part| WORDS.iter().any(|word| part.contains(word)) || part == ".ssh")
        || ENDINGS.iter().any(|ending| name.ends_with(ending))
        || name.starts_with(".env.")
        || NAMES.contains(&name)
}

/// Whether the content is one, whatever its name.
pub(crate) fn is_secret_text(text: &str) -> bool {
    MARKS.iter().any(|mark| text.contains(mark))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_contents_of_secrets_are_known() {
        let secret = [
            "secrets/a",
            "conf/DB_PASSWORD",
            "tls/server.key",
            ".env",
            "conf/.env.prod",
            ".ssh/config",
            "Id_RSA",
        ];
        for path in secret {
            assert!(is_secret_path(path), "{path}");
        }
        for path in ["Makefile", "manifest.json", "conf/app.toml", "environment", "keyboard"] {
            assert!(!is_secret_path(path), "{path}");
        }
        assert!(is_secret_text("x\n-----BEGIN OPENSSH PRIVATE KEY-----\nabc"));
        assert!(!is_secret_text("the private key is elsewhere"));
    }
}
