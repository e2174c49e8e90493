//! What a host of the test fleet can be told to do wrong. Each is a file in its folder that `host.sh`
//! and the stand-ins read.

use std::fs;
use std::path::Path;

/// See the comments in `host.sh`. Those about booting are meant for the next boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// None of these any more.
    Healthy,
    /// sshd stays up so long after `reboot` was accepted.
    ShutdownSecs(u32),
    /// It stays off so long.
    BootSecs(u32),
    /// After a boot only root may log in for so long.
    NologinSecs(u32),
    /// root's shell takes so long to begin.
    SlowLoginSecs(u32),
    /// The next reboot is its last ([`super::Fleet::plug`] revives it).
    NeverBack,
    /// `reboot` answers, and nothing happens.
    IgnoreReboot,
    /// The next reboot brings another host key.
    NewHostKey,
    /// No make, from the next boot on.
    NoMake,
    /// sudo wants a password.
    SudoPassword,
    /// No sudo at all, at once.
    SudoAbsent,
}

impl Fault {
    pub(super) fn write(self, folder: &Path) {
        let put = |name: &str, text: String| fs::write(folder.join(name), text).unwrap();
        match self {
            Self::Healthy => {
                let all = ["shutdown-secs", "boot-secs", "nologin-secs", "never-back", "ignore-reboot"];
                for name in all.into_iter().chain(["new-host-key", "no-make", "sudo", "root/.bashrc"]) {
                    let _ = fs::remove_file(folder.join(name));
                }
                let sudo = folder.join("bin/sudo");
                if !sudo.exists() {
                    fs::rename(folder.join("bin/sudo.off"), sudo).unwrap();
                }
            }
            Self::ShutdownSecs(secs) => put("shutdown-secs", secs.to_string()),
            Self::BootSecs(secs) => put("boot-secs", secs.to_string()),
            Self::SlowLoginSecs(secs) => put("root/.bashrc", format!("sleep {secs}\n")),
            Self::NologinSecs(secs) => put("nologin-secs", secs.to_string()),
            Self::NeverBack => put("never-back", String::new()),
            Self::IgnoreReboot => put("ignore-reboot", String::new()),
            Self::NewHostKey => put("new-host-key", String::new()),
            Self::NoMake => put("no-make", String::new()),
            Self::SudoPassword => put("sudo", "password".into()),
            Self::SudoAbsent => {
                fs::rename(folder.join("bin/sudo"), folder.join("bin/sudo.off")).unwrap();
            }
        }
    }
}
