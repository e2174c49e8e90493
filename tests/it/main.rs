//! The integration tests, one binary: each module is one area.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod bucket_read;
mod journal;
mod layering;
mod sandbox;
