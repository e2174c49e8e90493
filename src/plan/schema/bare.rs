//! Steps that are only the name of a kind: what each does then, which is what an editor shows at it.

/// On a worker; `None`: this kind needs options.
pub(super) fn on_worker(kind: &str) -> Option<&'static str> {
    Some(match kind {
        "disable" => {
            "Puts the worker into disabled.json, so that a deploy stops its jobs. Default: the worker with all its jobs."
        }
        "enable" | "re-enable" => {
            "Removes from disabled.json what this run has put there; what an operator has put there stays."
        }
        "deploy" => {
            "Builds, then deploys to the worker. Defaults: all jobs; only what has changed; time-out 5m."
        }
        "build" => "Builds only: the workspace becomes the catalog's wanted state. Default: time-out 5m.",
        "start" => "Starts jobs of the worker. Defaults: all its jobs; time-out 5m.",
        "stop" => "Stops jobs of the worker. Defaults: all its jobs; time-out 5m.",
        "restart" => "Restarts jobs of the worker. Defaults: all its jobs; time-out 5m.",
        "reboot" => {
            "Reboots the worker, once. Put a wait_for_ssh after it. Defaults: command sudo shutdown -r now; down \
             within 2m."
        }
        "wait_for_ssh" => {
            "Waits until the worker is back, after a reboot with a new boot id. Defaults: settle 10s; interval 1s; \
             time-out 10m."
        }
        "health" => {
            "Checks the health of jobs. Defaults: all jobs of this worker; repeated until it passes; time-out 5m."
        }
        "sync_check" => {
            "Checks that worker.json on the worker agrees with the catalog. Default: fails when it does not, without \
             a repair."
        }
        "approve" => "Waits until an operator runs `maand plan approve`. Defaults: no message; no time-out.",
        _ => return None,
    })
}

/// In `before` and `after`; `None`: this kind needs options.
pub(super) fn once(kind: &str) -> Option<&'static str> {
    Some(match kind {
        "deploy" => {
            "Builds, then deploys to the selected workers. Defaults: all jobs; only what has changed; time-out 5m."
        }
        "health" => {
            "Checks the health of the fleet. Defaults: all jobs; repeated until it passes; time-out 5m."
        }
        _ => return on_worker(kind),
    })
}
