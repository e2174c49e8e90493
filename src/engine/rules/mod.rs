//! The rules of a run, one short example each: what a newcomer reads first.
//!
//! Each example is a script of facts over a plan that is made for it; nothing runs, nothing waits. After
//! every fact [`case::Case`] compares the state with a replay of all facts so far.

mod admission;
mod case;
mod exclusion;
mod failure;
mod operator;
mod power;
mod preparation;
mod recovery;
mod steps;
