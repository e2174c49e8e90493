//! Buckets of the upstream program's, driven by the external engine: real hosts, the real binary, and a
//! stand-in for upstream with its faults (`tests/support/upstream`).

pub(crate) mod bench;
mod faults;
mod passing;
mod patterns;
mod pending;
mod refused;
mod stand_in;
