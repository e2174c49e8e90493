//! What names such as `MAAND_HOST` stand for, of a worker.

use crate::bucket::{Fleet, WorkerIx};

/// Names and values, each name once.
pub fn values_of_worker(fleet: &Fleet, worker: WorkerIx) -> Vec<(String, String)> {
    let worker = fleet.worker(worker);
    let labels: Vec<&str> = worker.labels.iter().map(String::as_str).collect();
    let tags: Vec<String> = worker.tags.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let mut values = vec![
        ("WORKER_IP".to_owned(), worker.host.to_string()),
        ("MAAND_HOST".to_owned(), worker.host.to_string()),
        ("MAAND_LABELS".to_owned(), labels.join(",")),
        ("MAAND_TAGS".to_owned(), tags.join(",")),
    ];
    let name = |key: &str| -> String {
        let name = key.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' });
        format!("MAAND_TAG_{}", name.collect::<String>())
    };
    for (key, value) in worker.tags.iter() {
        // Two tags of one name would be one variable with the value of either: `MAAND_TAGS` has both.
        if worker.tags.keys().filter(|other| name(other) == name(key)).count() == 1 {
            values.push((name(key), value.clone()));
        }
    }
    values
}
