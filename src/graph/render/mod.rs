//! The graph as a picture in text: dot (Graphviz) and mermaid. Big fleets are cut: a picture with
//! thousands of nodes shows nothing.

mod dot;
mod mermaid;
mod outline;

pub use dot::dot;
pub use mermaid::mermaid;
