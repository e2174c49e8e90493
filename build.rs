//! Tells the program what it is built from, and refuses a libssh2 of the system that is known to be unsafe. The one that
//! `libssh2-sys` brings along, which is the default, has its own floor in Cargo.toml.

use std::path::{Path, PathBuf};

/// The first version with the fix of CVE-2026-55200, as `LIBSSH2_VERSION_NUM`.
const FLOOR: (u32, &str) = (0x01_0b_02, "1.11.2");

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=MAAND_COMMIT");
    let is = |name: &str| std::env::var_os(name).is_some();
    let of = |name: &str| std::env::var(name).unwrap_or_default();
    // Said by the build script of libssh2-sys: `root` where it has compiled its own copy.
    let ssh2_built_in = is("DEP_SSH2_ROOT");
    let include = std::env::var("DEP_SSH2_INCLUDE").unwrap_or_else(|_| "/usr/include".to_owned());
    let header = std::fs::read_to_string(Path::new(&include).join("libssh2.h")).unwrap_or_default();
    if let Some(why) = refusal(&header).filter(|_| !ssh2_built_in) {
        // cargo shows a warning in full, and of a build script that fails little that is easy to find.
        println!("cargo:warning={why}");
        panic!("{why}");
    }
    for (name, value) in [
        ("MAAND_BUILT_FROM", commit(&of("PROFILE")).unwrap_or_default()),
        ("MAAND_BUILT_FOR", of("TARGET")),
        ("MAAND_BUILT_AS", of("PROFILE")),
        ("MAAND_LIBSSH2", defined(&header, "LIBSSH2_VERSION").unwrap_or_default()),
        ("MAAND_LIBSSH2_BUILT_IN", ssh2_built_in.to_string()),
        ("MAAND_OPENSSL", openssl(&of("DEP_OPENSSL_VERSION_NUMBER")).unwrap_or_default()),
        ("MAAND_OPENSSL_BUILT_IN", is("DEP_OPENSSL_VENDORED").to_string()),
    ] {
        println!("cargo:rustc-env={name}={value}");
    }
}

/// The commit: as who builds a release says it, as cargo writes it into a packaged source, or as git has it. The last
/// only for a release: whoever works on the program does not want it compiled again after each commit.
fn commit(profile: &str) -> Option<String> {
    let root = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR")?);
    let is_commit = |text: &str| text.len() >= 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if let Ok(said) = std::env::var("MAAND_COMMIT") {
        return Some(said).filter(|said| is_commit(said));
    }
    let packaged = root.join(".cargo_vcs_info.json");
    if let Ok(text) = std::fs::read_to_string(packaged) {
        return text.split('"').find(|part| is_commit(part)).map(str::to_owned);
    }
    if profile != "release" {
        return None;
    }
    let git = root.join(".git");
    let head = std::fs::read_to_string(git.join("HEAD")).ok()?;
    println!("cargo:rerun-if-changed={}", git.join("HEAD").display());
    let Some(branch) = head.strip_prefix("ref: ").map(str::trim) else {
        return Some(head.trim().to_owned()).filter(|head| is_commit(head));
    };
    println!("cargo:rerun-if-changed={}", git.join(branch).display());
    let loose = std::fs::read_to_string(git.join(branch)).ok();
    let packed = || {
        let packed = std::fs::read_to_string(git.join("packed-refs")).ok()?;
        packed.lines().find_map(|line| line.strip_suffix(branch).map(str::to_owned))
    };
    loose.or_else(packed).map(|text| text.trim().to_owned()).filter(|text| is_commit(text))
}

/// A version from the number that openssl-sys has found in a header, which is in hex: `MNN00PP0` of version 3 and later.
pub(crate) fn openssl(number: &str) -> Option<String> {
    let number = u64::from_str_radix(number, 16).ok()?;
    let (major, minor, fix, patch) =
        (number >> 28, number >> 20 & 0xff, number >> 12 & 0xff, number >> 4 & 0xff);
    match major {
        0 => None,
        // `1.1.1w`.
        1 | 2 => {
            let letter = u8::try_from(patch).ok().filter(|patch| (1..=26).contains(patch));
            let letter = letter.map_or(String::new(), |patch| char::from(b'a' + patch - 1).to_string());
            Some(format!("{major}.{minor}.{fix}{letter}"))
        }
        _ => Some(format!("{major}.{minor}.{patch}")),
    }
}

/// The value of a macro in a C header, without quotes.
fn defined(header: &str, name: &str) -> Option<String> {
    header.lines().find_map(|line| {
        let value = line.strip_prefix("#define")?.trim_start().strip_prefix(name)?;
        value.starts_with(char::is_whitespace).then(|| value.trim().trim_matches('"').to_owned())
    })
}

/// Why a libssh2 with this header is refused.
pub(crate) fn refusal(header: &str) -> Option<String> {
    let number = defined(header, "LIBSSH2_VERSION_NUM")
        .and_then(|text| u32::from_str_radix(text.strip_prefix("0x")?, 16).ok());
    if number.is_some_and(|number| number >= FLOOR.0) {
        return None;
    }
    let version = defined(header, "LIBSSH2_VERSION").unwrap_or_else(|| "of an unknown version".to_owned());
    Some(format!(
        "the libssh2 of this system ({version}) is older than {} and has the hole CVE-2026-55200; build without \
         LIBSSH2_SYS_USE_PKG_CONFIG, which takes the copy that libssh2-sys brings along",
        FLOOR.1
    ))
}
