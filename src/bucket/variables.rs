//! What a command, or a text with names of values in it, knows of a worker.

use super::fleet::Worker;

impl Worker {
    /// `MAAND_HOST`, `MAAND_TAG_ZONE` and others with their values, as `docs/language.md` documents them.
    pub fn variables(&self) -> Vec<(String, String)> {
        let labels: Vec<&str> = self.labels.iter().map(String::as_str).collect();
        let tags: Vec<String> = self.tags.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let mut values = vec![
            ("WORKER_IP".to_owned(), self.host.to_string()),
            ("MAAND_HOST".to_owned(), self.host.to_string()),
            ("MAAND_LABELS".to_owned(), labels.join(",")),
            ("MAAND_TAGS".to_owned(), tags.join(",")),
        ];
        let name = |key: &str| -> String {
            let name =
                key.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' });
            format!("MAAND_TAG_{}", name.collect::<String>())
        };
        for (key, value) in self.tags.iter() {
            // Two tags of one name would be one variable with the value of either: `MAAND_TAGS` has both.
            if self.tags.keys().filter(|other| name(other) == name(key)).count() == 1 {
                values.push((name(key), value.clone()));
            }
        }
        values
    }
}
