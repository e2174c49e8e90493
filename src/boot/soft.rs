//! Reboots that are none.

/// What to say when a worker has the boot id of before after `command`: nothing, but for one that restarts user space
/// alone (`systemctl soft-reboot`), which keeps the kernel and its boot id.
pub fn soft_reboot_note(command: &str) -> &'static str {
    let is_soft =
        command.split(|c: char| !c.is_ascii_alphanumeric() && c != '-').any(|word| word == "soft-reboot");
    if is_soft {
        " (a soft reboot keeps the boot id, so it counts as none: `run` is the step for it)"
    } else {
        ""
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_soft_reboot_is_spoken_of() {
        for command in
            ["systemctl soft-reboot", "sudo systemctl soft-reboot --force;true", "x && soft-reboot"]
        {
            assert!(soft_reboot_note(command).contains("keeps the boot id"), "{command}");
        }
        for command in ["systemctl reboot", "shutdown -r now", "./no-soft-reboots", ""] {
            assert_eq!(soft_reboot_note(command), "", "{command}");
        }
    }
}
