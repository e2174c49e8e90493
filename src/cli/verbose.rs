//! `-v` of every command: what it works with, and how long it took, on standard error.

use std::time::Duration;

use super::operate::say;
use super::{Context, Exit, engine};
use crate::bucket::Bucket;

/// Before the command.
pub(super) fn begin(context: &Context) {
    say(&format!("maand: version {}", env!("CARGO_PKG_VERSION")));
    // What is wrong with it is the command's to say.
    if let Ok(Some(bucket)) = Bucket::find_if_any(context.bucket.as_deref()) {
        let (root, why) = (bucket.paths().root.display(), engine::why(&bucket, context));
        say(&format!("maand: bucket {root}, engine {}, {why}", context.engine_for(&bucket).as_str()));
    }
}

/// After it.
pub(super) fn end(exit: Exit, took: Duration) {
    say(&format!("maand: exit code {} after {:.1} s", exit as u8, took.as_secs_f64()));
}
