//! (this room opens with its first file)
