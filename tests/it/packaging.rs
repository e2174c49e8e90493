//! What an operator installs beside the program (completions, manual pages), and that README and docs say what is so.

use std::path::Path;
use std::process::{Command, Output};

fn maand(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_maand")).args(args).output().unwrap()
}

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

#[test]
fn completions_are_a_script_for_every_shell() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = maand(&["completions", shell]);
        assert!(output.status.success(), "{shell}");
        let script = String::from_utf8(output.stdout).unwrap();
        assert!(script.contains("MAAND_COMPLETE"), "{shell}: {script}");
    }
    assert_eq!(maand(&["completions", "tcsh"]).status.code(), Some(2));
}

#[test]
fn a_manual_page_for_every_command() {
    let folder = tempfile::tempdir().unwrap();
    let pages = folder.path().join("share/man1");
    let output = maand(&["man", pages.to_str().unwrap()]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for page in ["maand", "maand-plan", "maand-plan-apply", "maand-run_command"] {
        let text = std::fs::read_to_string(pages.join(format!("{page}.1"))).unwrap();
        for part in
            [".TH", "SYNOPSIS", "EXAMPLES", "EXIT STATUS", "ENVIRONMENT", "MAAND_OUTPUT", "FILES", "SEE ALSO"]
        {
            assert!(text.contains(part), "{page}: no {part}");
        }
    }
    let hidden = std::fs::read_dir(&pages)
        .unwrap()
        .any(|e| e.unwrap().file_name().to_string_lossy().contains("guard"));
    assert!(!hidden, "a hidden command has a page");
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let refused = maand(&["man", file.to_str().unwrap()]);
    assert_eq!(refused.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("maand::cli::man"));
}

#[test]
fn every_exit_code_is_documented() {
    let text = read("docs/scripting.md");
    for code in [0, 1, 2, 3, 4, 5, 6, 70] {
        assert!(text.contains(&format!("| {code} |")), "{code}");
    }
}

#[test]
fn the_files_that_the_readme_names_are_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for after in read("README.md").split("](").skip(1) {
        let target = after.split([')', '#']).next().unwrap();
        if !target.is_empty() && !target.contains("://") {
            assert!(root.join(target).exists(), "{target}");
        }
    }
}

#[path = "../../build.rs"]
#[expect(dead_code, clippy::print_stdout, reason = "its main is for cargo")]
mod build_script;

#[test]
fn the_version_of_openssl_is_read_from_its_number() {
    assert_eq!(build_script::openssl("300000f0").as_deref(), Some("3.0.15"));
    assert_eq!(build_script::openssl("30500040").as_deref(), Some("3.5.4"));
    assert_eq!(build_script::openssl("1010117f").as_deref(), Some("1.1.1w"));
    assert_eq!(build_script::openssl("1010100f").as_deref(), Some("1.1.1"));
    assert_eq!(build_script::openssl(""), None);
}

#[test]
fn a_libssh2_of_the_system_has_to_be_new_enough() {
    let header = |version: &str, number: &str| {
        format!(
            "#define LIBSSH2_VERSION_MAJOR 1\n#define LIBSSH2_VERSION                             \"{version}\"\n\
             #define LIBSSH2_VERSION_NUM                         {number}\n"
        )
    };
    let refusal = |version, number| build_script::refusal(&header(version, number));
    let old = refusal("1.11.1", "0x010b01").unwrap();
    assert!(old.contains("1.11.1") && old.contains("CVE-2026-55200"), "{old}");
    assert!(old.contains("LIBSSH2_SYS_USE_PKG_CONFIG"), "{old}");
    assert!(refusal("1.10.0", "0x010a00").is_some());
    assert_eq!(refusal("1.11.2", "0x010b02"), None);
    assert_eq!(refusal("1.12.0", "0x010c00"), None);
    assert!(build_script::refusal("").is_some(), "one that cannot be read is not known to be new enough");
}
