//! What a worker's BMC says, for the error of a worker that does not come back.

use crate::engine::StepError;
use crate::graph::TargetIx;
use crate::plan::without_error_numbers;
use crate::power::Bmc;
use crate::ssh::Cancel;

use super::executor::StepExecutor;

impl StepExecutor {
    /// Puts into the error of a worker that is away what its BMC says. Where BMCs are not named, or this worker has none,
    /// nothing is asked; one that cannot be asked is a part of the error, and changes nothing else.
    pub(super) fn ask_bmc(&self, target: TargetIx, cancel: &Cancel, error: &mut StepError) {
        let Some(settings) = &self.bucket.settings().power else { return };
        let worker = self.graph.fleet.worker(self.graph.target(target).worker);
        let Some(bmc) = Bmc::of(settings, worker) else { return };
        let said = match bmc {
            Err(why) => format!("its BMC could not be asked: {why}"),
            Ok(bmc) => match bmc.look(&|| cancel.is_cancelled()) {
                Err(why) => format!("its BMC ({}) could not be asked: {why}", bmc.url()),
                Ok(report) => {
                    let lines = report.log_lines().join("\n");
                    error.output = Some(lines).filter(|lines| !lines.is_empty());
                    format!("its BMC ({}) says: {}", bmc.url(), report.state())
                }
            },
        };
        error.message = format!("{}; {}", error.message, without_error_numbers(&said));
    }
}
