//! The plan language: source text with spans, the model of a valid plan, and problems.
//!
//! This room turns text into a [`Plan`] or into [`Problems`]. It knows nothing of buckets, hosts,
//! graphs or execution, and it does no I/O: the caller hands it text.

mod check;
pub mod code;
mod decode;
mod display;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod gate;
pub mod http;
mod line_diff;
mod model;
mod notify;
mod parse;
mod prepare;
mod problem;
mod regex;
mod rollout;
mod schema;
mod script;
pub mod secret;
mod silence;
pub mod suggest;
#[cfg(test)]
pub(crate) mod testing;
mod traits;
mod visible;
mod window;
mod words;
mod yaml;

pub use decode::{bare_host, is_host_name, is_ipv6, is_job_name, parse_duration, parse_notify};
pub use gate::{AlertsQuery, Gate, GateAction, HttpCheck, Measure, PrometheusQuery, Reading, Tally};
pub use http::{HttpBody, HttpExpect, HttpMethod, HttpRequest, HttpStep, HttpUndo, StatusRange};
pub use line_diff::line_operations;
pub use model::*;
pub use notify::{NOTICE_VALUES, NoticeEvent, NoticeService, NoticeTarget, Notify};
pub use parse::parse;
pub use prepare::Prepare;
pub use problem::{Problem, ProblemJson, Problems, Severity, Source};
pub use rollout::*;
pub use schema::schema;
pub use script::{Interpreter, ScriptError, interpreter, script_text};
pub use silence::{MatchOp, Matcher, Silence};
pub use traits::{StepTraits, Tool};
pub use visible::{json_on_screen, on_screen, visible, visible_line, visible_within};
pub use window::{Freeze, FrozenDates, NthOfMonth, Weekday, Window, WindowDay};
pub use words::{counted, duration, without_error_numbers};
pub use yaml::{MAX_BYTES, source_from_bytes};
