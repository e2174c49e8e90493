//! `sudo` for root where it is not installed.
//!
//! Minimal hosts whose SSH user is root often have no sudo, and the commands in plans begin
//! with it (`sudo shutdown -r now`). It must not stand in for anything that sudo would really have to do.

/// Shell text, one line for the head of a script: defines `sudo` as "run it" for root where there is no
/// sudo. Options without a meaning for root are dropped; another user than root is refused.
pub const SUDO_FOR_ROOT: &str = r#"if ! command -v sudo >/dev/null 2>&1 && [ "${EUID:-$(id -u)}" = 0 ]; then sudo() { while [ $# -gt 0 ]; do case "$1" in -u|-g|--user|--group) [ "$2" = root ] || { echo "sudo is not installed here" >&2; return 127; }; shift 2;; --) shift; break;; -*) shift;; *) break;; esac; done; env "$@"; }; fi; "#;

#[cfg(test)]
mod tests {
    use super::SUDO_FOR_ROOT;
    use std::process::Command;

    fn sh(text: &str) -> (Option<i32>, String) {
        // An empty folder first, so that a sudo of this machine is not found.
        let empty = tempfile::tempdir().unwrap();
        for tool in ["env", "id", "sh", "echo", "printf"] {
            std::os::unix::fs::symlink(format!("/usr/bin/{tool}"), empty.path().join(tool)).unwrap();
        }
        let done = Command::new("/bin/sh")
            .arg("-c")
            .arg(format!("id() {{ echo 0; }}; {SUDO_FOR_ROOT}{text}"))
            .env("PATH", empty.path())
            .output()
            .unwrap();
        (done.status.code(), String::from_utf8_lossy(&done.stdout).into_owned())
    }

    #[test]
    fn what_follows_is_run_with_its_arguments_as_they_are() {
        assert_eq!(sh("sudo -n -E printf '[%s]' 'a b' c"), (Some(0), "[a b][c]".into()));
        assert_eq!(sh("sudo X=1 sh -c 'echo $X'"), (Some(0), "1\n".into()));
        assert_eq!(sh("sudo -u root sh -c 'exit 7'").0, Some(7));
    }

    #[test]
    fn another_user_is_refused() {
        assert_eq!(sh("sudo -u nobody echo hi"), (Some(127), String::new()));
    }
}
