//! Paths of what a server has, which pages link to. A server has exactly these.

use std::fmt::Write;

/// A piece of a path: whatever is not unreserved is encoded (RFC 3986, 2.3).
fn segment(text: &str) -> String {
    let mut path = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                path.push(char::from(byte))
            }
            _ => _ = write!(path, "%{byte:02X}"),
        }
    }
    path
}

/// The page of a run.
pub fn run(run: &str) -> String {
    format!("/runs/{}", segment(run))
}

/// A worker of the run whose page is at `run`.
pub fn worker_of_run(run: &str, host: &str) -> String {
    format!("{run}/workers/{}", segment(host))
}

/// What an attempt of the run whose page is at `run` has written.
pub fn attempt(run: &str, attempt: u64) -> String {
    format!("{run}/attempts/{attempt}")
}

/// What happened on a worker in all runs.
pub fn worker(host: &str) -> String {
    format!("/workers/{}", segment(host))
}

/// A path with those of the parts that are not empty.
pub(super) fn with_query(path: &str, parts: &[(&str, &str)]) -> String {
    let parts = parts.iter().filter(|(_, value)| !value.is_empty());
    let query: Vec<String> = parts.map(|(key, value)| format!("{key}={}", segment(value))).collect();
    if query.is_empty() { path.to_owned() } else { format!("{path}?{}", query.join("&")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_one_piece_of_a_path_whatever_it_is_called() {
        assert_eq!(worker("w1.example"), "/workers/w1.example");
        assert_eq!(worker("../?a=b#c\"><ö"), "/workers/..%2F%3Fa%3Db%23c%22%3E%3C%C3%B6");
        assert_eq!(worker("[::1]"), "/workers/%5B%3A%3A1%5D");
        assert_eq!(
            worker_of_run(&run("20261122-2315-ab3f"), "a b"),
            "/runs/20261122-2315-ab3f/workers/a%20b"
        );
    }
}
