//! Pages of a bucket's runs over HTTP.

pub mod guard;
pub mod sessions;
pub mod wanted;
