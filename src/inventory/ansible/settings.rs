//! Variables by which Ansible itself is set: which of them have a place here, and what is to be done about the others.

use super::super::import::Reason;

/// How names of Ansible's own settings, and of the facts that it gathers, begin.
const OWN: &str = "ansible_";

/// Those that are taken.
const TAKEN: [&str; 7] = [
    "ansible_connection",
    "ansible_host",
    "ansible_ssh_host",
    "ansible_port",
    "ansible_ssh_port",
    "ansible_user",
    "ansible_ssh_user",
];

const SSH_OPTIONS: Reason = (
    "options of ssh are not copied",
    "write what they say for the host into ~/.ssh/config, such as ProxyJump: it is read whenever a worker is connected to",
);
const SSH_KEY: Reason = (
    "keys are not copied",
    "write IdentityFile for the host into ~/.ssh/config, or name one key for all as `ssh_key` in maand.conf",
);
const PASSWORD: Reason = (
    "a password: workers are logged in to with keys",
    "put the bucket's public key there: `maand init` shows it",
);
const SUDO_PASSWORD: Reason =
    ("sudo is not given a password", "permit it without one (`NOPASSWD`); `maand doctor` looks at that");
const BECOME: Reason = (
    "whether commands run as root is one setting of the whole bucket",
    "`use_sudo` in maand.conf, which is true where nothing is said",
);
const OTHER: Reason = (
    "a setting of Ansible's own, or a fact that it has gathered",
    "name it with --tags, if it is to be a tag",
);

/// Each with the settings that it is said of; one that ends with `_` is a beginning.
const SETTINGS: &[(&str, Reason)] = &[
    ("ansible_ssh_common_args", SSH_OPTIONS),
    ("ansible_ssh_extra_args", SSH_OPTIONS),
    ("ansible_ssh_args", SSH_OPTIONS),
    ("ansible_sftp_extra_args", SSH_OPTIONS),
    ("ansible_scp_extra_args", SSH_OPTIONS),
    ("ansible_ssh_executable", SSH_OPTIONS),
    ("ansible_paramiko_proxy_command", SSH_OPTIONS),
    ("ansible_host_key_checking", SSH_OPTIONS),
    ("ansible_ssh_host_key_checking", SSH_OPTIONS),
    ("ansible_ssh_private_key_file", SSH_KEY),
    ("ansible_private_key_file", SSH_KEY),
    ("ansible_ssh_private_key", SSH_KEY),
    ("ansible_password", PASSWORD),
    ("ansible_ssh_pass", PASSWORD),
    ("ansible_ssh_password", PASSWORD),
    ("ansible_become_pass", SUDO_PASSWORD),
    ("ansible_become_password", SUDO_PASSWORD),
    ("ansible_sudo_pass", SUDO_PASSWORD),
    ("ansible_become", BECOME),
    ("ansible_become_", BECOME),
    ("ansible_sudo", BECOME),
];

/// Whether the name is one of Ansible's own.
pub(super) fn is_own(variable: &str) -> bool {
    variable.starts_with(OWN)
}

/// Why a setting of Ansible's own has no place in `workers.json`; `None`: it has, or it is none.
pub(super) fn not_taken(variable: &str) -> Option<Reason> {
    if !is_own(variable) || TAKEN.contains(&variable) {
        return None;
    }
    let is_it = |name: &str| variable == name || (name.ends_with('_') && variable.starts_with(name));
    Some(SETTINGS.iter().find(|(name, _)| is_it(name)).map_or(OTHER, |(_, reason)| *reason))
}

/// Whether Ansible would fill something in.
pub(super) fn is_template(text: &str) -> bool {
    text.contains("{{") || text.contains("{%")
}
