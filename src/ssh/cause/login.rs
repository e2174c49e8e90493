//! Who is let in, and what is behind the login: a shell that executes commands, root, the programs that scripts need.

use super::{At, Cause, LOG, Layer, other_user};
use crate::os::quote;

pub(super) fn auth_refused(user: &str, addr: &str, key: Option<&str>, why: &str, jump: bool) -> Cause {
    let at = At::of(user, addr);
    let said = why.to_ascii_lowercase();
    if said.contains("expired") {
        let what = format!("the account of {user} has expired");
        let remedy = format!("as root on {}: `chage -E -1 -M -1 {}`", at.host, quote(user));
        return Cause::new("account_expired", Layer::Login, what, remedy).detail(why);
    }
    if said.contains("maxauthtries") {
        let remedy =
            "name the right key (`IdentityFile`) and set `IdentitiesOnly yes` for it in ~/.ssh/config";
        return Cause::new(
            "too_many_keys",
            Layer::Login,
            "it hangs up before the right key is tried",
            remedy,
        )
        .detail(why);
    }
    let with = key.map_or_else(String::new, |key| format!("-i {} ", quote(key)));
    let remedy = format!(
        "`ssh-copy-id {with}{}`, or log in as another user: {}; where the key is there already, {LOG} says why it does not \
         count (modes of the home and of ~/.ssh, AllowUsers, a locked account, a shell that does not exist)",
        at.ssh(),
        other_user(at.host, jump)
    );
    Cause::new("key_refused", Layer::Login, format!("the key is refused for {user}"), remedy).detail(why)
}

pub(super) fn not_executed(user: &str, addr: &str, why: &str) -> Cause {
    let at = At::of(user, addr);
    let said = why.to_ascii_lowercase();
    let who = quote(user);
    let (code, what, remedy) = if said.contains("password")
        && (said.contains("change") || said.contains("expired"))
    {
        let remedy =
            format!("as root on {}: `chage -M -1 -d \"$(date +%F)\" {who}`, or set a new password", at.host);
        ("password_expired", format!("the password of {user} has expired and has to be changed"), remedy)
    } else if said.contains("account") && said.contains("expired") {
        let remedy = format!("as root on {}: `chage -E -1 {who}`", at.host);
        ("account_expired", format!("the account of {user} has expired"), remedy)
    } else if said.contains("not available") || said.contains("without a word") {
        let remedy = format!(
            "give it a shell: `usermod -s /bin/bash {who}` as root on {}; if it has one, look for ForceCommand in \
             sshd_config and `command=` in ~/.ssh/authorized_keys",
            at.host
        );
        ("login_shell", format!("{user} can log in, and has no shell that executes commands"), remedy)
    } else {
        let remedy = format!(
            "`ssh {} 'echo fine'` has to print `fine` and nothing else: look at the login shell, its startup files, \
             ForceCommand in sshd_config and `command=` in ~/.ssh/authorized_keys there",
            at.ssh()
        );
        (
            "not_executed",
            format!("{user} can log in, and something else than our command is executed"),
            remedy,
        )
    };
    Cause::new(code, Layer::Shell, what, remedy).detail(why)
}

/// What sudo(8) says when it refuses; its words are those in English, others are shown as they are.
pub fn sudo_cause(user: &str, host: &str, printed: &str) -> Cause {
    let because = |words: &str| printed.contains(words);
    let no_sudo = "set `use_sudo = false` in maand.conf";
    // It stands inside of quotes, in a rule.
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let user = if user.chars().all(plain) { user } else { "USER" };
    let rule = format!(
        "let it in sudoers, as root on {host}: `echo '{user} ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/maand && chmod 440 \
         /etc/sudoers.d/maand`"
    );
    let (code, what, remedy) = if because("must have a tty") {
        let rule = format!(
            "put `Defaults:{user} !requiretty` in sudoers, as root on {host}: `visudo -f /etc/sudoers.d/maand-tty`"
        );
        ("sudo_tty", "sudo wants a terminal (requiretty)", format!("{rule}, or {no_sudo}"))
    } else if because("not found") {
        let install =
            "install it there (`apt-get install sudo` or `dnf install sudo`), log in as root (`ssh_user`)";
        ("sudo_absent", "sudo is not installed", format!("{install}, or {no_sudo}"))
    } else if because("preserve the environment") {
        let more = "the rule needs `SETENV:`, which `NOPASSWD: ALL` brings along";
        ("sudo_denied", "sudo does not let the environment through", format!("{rule}: {more}; or {no_sudo}"))
    } else if because("not allowed") || because("may not") || because("not in the sudoers") {
        ("sudo_denied", "sudo does not allow it", format!("{rule}, or {no_sudo}"))
    } else if because("password") {
        ("sudo_password", "sudo wants a password", format!("{rule}, or {no_sudo}"))
    } else {
        (
            "sudo_refuses",
            "sudo refuses",
            format!("see what `sudo -n true` says as {user} on {host}; {rule}, or {no_sudo}"),
        )
    };
    Cause::new(code, Layer::Sudo, what, remedy).detail(printed)
}

/// Programs that are not there.
pub fn missing_tools(host: &str, tools: &[&str]) -> Cause {
    let mut packages: Vec<&str> = tools.iter().map(|tool| package(tool)).collect();
    packages.dedup();
    let packages = packages.join(" ");
    let remedy = format!("as root on {host}: `apt-get install {packages}` or `dnf install {packages}`");
    Cause::new("tools_missing", Layer::Tools, format!("not installed: {}", tools.join(", ")), remedy)
}

/// The package that has it, on Debian and Fedora alike.
fn package(tool: &str) -> &str {
    match tool {
        "flock" | "setsid" => "util-linux",
        "find" => "findutils",
        "bash" | "make" | "tar" | "grep" | "rsync" | "python3" | "sudo" => tool,
        _ => "coreutils",
    }
}
