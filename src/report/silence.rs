//! What is shown of a worker's silence in the monitoring system.

use schemars::JsonSchema;
use serde::Serialize;

use super::Time;
use crate::engine::SilenceEvent;

/// What is known of a worker's silence. That it was extended is not recorded, so it may end later than `until` says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct SilenceView {
    /// `created`, `extended` (after a failure), `failed` (it is tried again), or `ending` (it is not extended any more).
    pub silence: &'static str,
    /// As the monitoring system calls it, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// When it ends, unless it is extended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Time>,
    /// What kept it from being created or extended; or that it has lasted for as long as the plan lets one last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

impl From<&SilenceEvent> for SilenceView {
    fn from(event: &SilenceEvent) -> Self {
        let none = Self { silence: "failed", id: None, until: None, why: None };
        match event {
            SilenceEvent::Created { id, until } => {
                Self { silence: "created", id: Some(id.clone()), until: Some(Time(*until)), ..none }
            }
            SilenceEvent::Extended { id, until } => {
                Self { silence: "extended", id: Some(id.clone()), until: Some(Time(*until)), ..none }
            }
            SilenceEvent::Failed { why } => Self { why: Some(why.clone()), ..none },
            SilenceEvent::Ending { until, at_most } => {
                let why = at_most.then(|| "the plan's at_most is reached, and it is still down".to_owned());
                Self { silence: "ending", until: Some(Time(*until)), why, ..none }
            }
        }
    }
}

impl SilenceView {
    /// In one line.
    pub fn describe(&self) -> String {
        let until = self.until.map_or_else(String::new, |until| format!(" until {}", until.to_second()));
        let why = self.why.as_ref().map_or_else(String::new, |why| format!(": {why}"));
        let id = self.id.as_ref().map_or_else(String::new, |id| format!(" ({id})"));
        match self.silence {
            "created" => format!("its alerts are silenced{until}, and longer while it is down{id}"),
            "extended" => format!("its silence is extended again{until}, and longer while it is down{id}"),
            "ending" => format!("its silence is kept{until} and no longer{why}"),
            _ => format!("its alerts are not silenced{why}"),
        }
    }
}
