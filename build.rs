//! Refuses to be built against a libssh2 of the system that is known to be unsafe. The one that `libssh2-sys` brings
//! along, which is the default, has its own floor in Cargo.toml.

use std::path::Path;

/// The first version with the fix of CVE-2026-55200, as `LIBSSH2_VERSION_NUM`.
const FLOOR: (u32, &str) = (0x01_0b_02, "1.11.2");

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // Said by the build script of libssh2-sys: `root` where it has compiled its own copy.
    if std::env::var_os("DEP_SSH2_ROOT").is_some() {
        return;
    }
    let include = std::env::var("DEP_SSH2_INCLUDE").unwrap_or_else(|_| "/usr/include".to_owned());
    let header = std::fs::read_to_string(Path::new(&include).join("libssh2.h")).unwrap_or_default();
    if let Some(why) = refusal(&header) {
        // cargo shows a warning in full, and of a build script that fails little that is easy to find.
        println!("cargo:warning={why}");
        panic!("{why}");
    }
}

/// Why a libssh2 with this header is refused.
pub(crate) fn refusal(header: &str) -> Option<String> {
    let value = |name: &str| {
        header.lines().find_map(|line| {
            let value = line.strip_prefix("#define")?.trim_start().strip_prefix(name)?;
            value.starts_with(char::is_whitespace).then(|| value.trim().trim_matches('"').to_owned())
        })
    };
    let number =
        value("LIBSSH2_VERSION_NUM").and_then(|text| u32::from_str_radix(text.strip_prefix("0x")?, 16).ok());
    if number.is_some_and(|number| number >= FLOOR.0) {
        return None;
    }
    let version = value("LIBSSH2_VERSION").unwrap_or_else(|| "of an unknown version".to_owned());
    Some(format!(
        "the libssh2 of this system ({version}) is older than {} and has the hole CVE-2026-55200; build without \
         LIBSSH2_SYS_USE_PKG_CONFIG, which takes the copy that libssh2-sys brings along",
        FLOOR.1
    ))
}
