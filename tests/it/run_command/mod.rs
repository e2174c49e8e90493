//! `run_command`: its window and its outcomes against workers made up here, and the program itself
//! against real SSH servers.

mod made_up;
mod real;
