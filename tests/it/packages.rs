//! What goes into the `.deb`, the `.rpm` and the container: the scripts of `packaging/` against the program and the
//! sources. That packages install, work and go again is tried by `packaging/test-packages`, which needs root and a mirror.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Runs text that knows what packaging/package.sh does.
fn shell(text: &str, arguments: &[&Path]) -> std::process::Output {
    let mut command = Command::new("bash");
    command.arg("-c").arg(format!(". packaging/package.sh\n{text}")).arg("test").args(arguments);
    command.current_dir(root()).env("SOURCE_DATE_EPOCH", "1700000000").output().unwrap()
}

fn names(folder: &Path) -> BTreeSet<String> {
    std::fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

/// The folder as both packages begin with it, without the licences, for which cargo has to know all sources; in the
/// place of the program, which is large, there is another file.
fn laid_out(at: &Path, zsh: &str) -> PathBuf {
    let tree = at.join("tree");
    let done = shell(
        "licences_of() { mkdir -p \"$1\"; echo MIT >\"$1/spdx\"; echo text >\"$1/copyright\"; echo text >\"$1/THIRD-PARTY\"; }\n\
         MAAND_RUN=$1 lay_out packaging/deb \"$2\" \"$3\" && settle \"$2\"",
        &[Path::new(env!("CARGO_BIN_EXE_maand")), &tree, Path::new(zsh)],
    );
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    tree
}

#[test]
fn what_a_package_installs() {
    let folder = tempfile::tempdir().unwrap();
    let tree = laid_out(folder.path(), "usr/share/zsh/vendor-completions");
    // Where the shells of Debian and Fedora look.
    for (place, asked) in [
        ("usr/share/bash-completion/completions/maand", "/usr/bin/maand -- "),
        ("usr/share/zsh/vendor-completions/_maand", "/usr/bin/maand -- "),
        ("usr/share/fish/vendor_completions.d/maand.fish", "/usr/bin/maand -- "),
    ] {
        let script = std::fs::read_to_string(tree.join(place)).unwrap();
        assert!(script.replace('"', "").contains(asked), "{place}: {script}");
        assert!(!script.contains("/tmp/"), "{place} names the place where it was made: {script}");
    }
    let zsh = std::fs::read_to_string(tree.join("usr/share/zsh/vendor-completions/_maand")).unwrap();
    assert!(zsh.starts_with("#compdef maand\n"), "zsh finds nothing else: {zsh}");
    // All manual pages.
    let pages = folder.path().join("pages");
    let written = Command::new(env!("CARGO_BIN_EXE_maand")).arg("man").arg(&pages).output().unwrap();
    assert!(written.status.success());
    let all: BTreeSet<_> = names(&pages).into_iter().map(|page| format!("{page}.gz")).collect();
    assert!(all.len() > 40);
    assert_eq!(names(&tree.join("usr/share/man/man1")), all);
    let page =
        Command::new("gzip").arg("-dc").arg(tree.join("usr/share/man/man1/maand.1.gz")).output().unwrap();
    let page = String::from_utf8(page.stdout).unwrap();
    assert!(page.contains(".TH maand 1 2023-11-14 \"maand "), "no date: {page}");
    // Documents, in the places to which their links point.
    let doc = tree.join("usr/share/doc/maand");
    for file in ["README.md", "SECURITY.md", "copyright", "THIRD-PARTY.gz"] {
        assert!(doc.join(file).is_file(), "{file}");
    }
    for folder in ["plans", "ci", "monitoring"] {
        let source =
            if folder == "plans" { root().join(folder) } else { root().join("examples").join(folder) };
        assert_eq!(names(&doc.join("examples").join(folder)), names(&source), "{folder}");
    }
    assert!(doc.join("docs/install.md").is_file() && doc.join("docs/start.md").is_file());
}

#[test]
fn two_packages_of_one_program_have_the_same_bytes() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let sum = |at: &Path| {
        let tree = laid_out(at, "zsh");
        let script = "find . -exec stat -c '%n %a %Y %F' {} + | sort; \
                      find . -type f | sort | xargs sha256sum";
        let output = Command::new("sh").args(["-c", script]).current_dir(tree).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let (first, second) = (sum(one.path()), sum(other.path()));
    assert!(first.lines().count() > 100 && first.contains("1700000000"), "{first}");
    let differ: Vec<_> = first.lines().zip(second.lines()).filter(|(a, b)| a != b).collect();
    assert!(differ.is_empty() && first.lines().count() == second.lines().count(), "{differ:?}");
}

#[test]
fn a_program_for_another_processor_or_of_another_version_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let elf = |machine: u8| {
        let mut bytes = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0".to_vec();
        bytes.extend([machine, 0]);
        let path = folder.path().join(format!("elf{machine}"));
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let processor = |path: &Path| shell("processor \"$1\"", &[path]);
    assert_eq!(processor(&elf(0x3e)).stdout, b"x86_64\n");
    assert_eq!(processor(&elf(0xb7)).stdout, b"aarch64\n");
    for wrong in [elf(0x28), root().join("Cargo.toml"), folder.path().join("missing")] {
        let output = processor(&wrong);
        assert!(!output.status.success() && output.stdout.is_empty(), "{}", wrong.display());
    }
    let other = folder.path().join("other");
    std::fs::write(&other, "#!/bin/sh\necho maand 0.0.1\n").unwrap();
    let made = Command::new("chmod").arg("755").arg(&other).status().unwrap();
    assert!(made.success());
    let refused = shell("lay_out \"$1\" \"$2\" zsh", &[&other, &folder.path().join("tree")]);
    let why = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && why.contains("is maand 0.0.1"), "{why}");
    assert!(!folder.path().join("tree").exists(), "something was laid out");
}

#[test]
fn a_version_before_a_release_sorts_before_it() {
    let version = |text: &str| {
        let script = format!("version={text}; printf %s \"$(packaged \"$version\")\"");
        String::from_utf8(shell(&script, &[]).stdout).unwrap()
    };
    assert_eq!(version("1.2.3"), "1.2.3");
    assert_eq!(version("1.2.3-rc.1"), "1.2.3~rc.1");
    let ours = String::from_utf8(shell("printf %s \"$version\"", &[]).stdout).unwrap();
    assert_eq!(ours, env!("CARGO_PKG_VERSION"));
}

#[test]
fn every_licence_that_may_be_linked_has_its_text() {
    #[derive(serde::Deserialize)]
    struct Deny {
        licenses: Licenses,
    }
    #[derive(serde::Deserialize)]
    struct Licenses {
        allow: Vec<String>,
    }
    let deny: Deny = toml::from_str(&read("deny.toml")).unwrap();
    assert!(deny.licenses.allow.len() > 5);
    for licence in deny.licenses.allow {
        let file = format!("packaging/licences.d/{}", licence.replace(" WITH ", "-with-"));
        assert!(read(&file).len() > 100, "{file}");
    }
}

#[test]
fn the_container_has_what_the_workflows_ask_of_an_image() {
    let asked = read("examples/ci/gitlab.yml");
    let asked = asked.lines().find_map(|line| line.split_once("an image with maand, ")).unwrap().1;
    let recipe = read("packaging/Containerfile");
    let has = recipe.split(|c: char| !c.is_ascii_alphanumeric()).collect::<BTreeSet<_>>();
    for tool in asked.trim_end_matches('.').replace(" and ", ", ").split(", ") {
        // Every Debian has these two.
        assert!(["bash", "tar"].contains(&tool) || has.contains(tool), "{tool}");
    }
    assert!(recipe.contains("\nUSER maand\n") && recipe.contains("VOLUME /bucket"));
}

/// What can be run.
const SCRIPTS: [&str; 8] = [
    "deb",
    "rpm",
    "licences",
    "test-installed",
    "test-packages",
    "test-rpm",
    "test-rpm-older",
    "test-container",
];

/// Scripts, and documents that tell of them, name files that are there.
#[test]
fn the_files_that_scripts_name_are_there() {
    let there = names(&root().join("packaging"));
    let mut looked_at = BTreeSet::new();
    let texts = SCRIPTS.into_iter().chain(["package.sh", "Containerfile", "rpm.rpmlint.toml"]);
    for page in texts.map(|name| format!("packaging/{name}")).chain(["docs/install.md".to_owned()]) {
        let text = read(&page).replace("$here/", "packaging/").replace("$(dirname \"$0\")/", "packaging/");
        for after in text.split("packaging/").skip(1) {
            let end = |c: char| !(c.is_ascii_alphanumeric() || "-_.".contains(c));
            let name = after.split(end).next().unwrap().trim_end_matches('.');
            assert!(name.is_empty() || there.contains(name), "{page} names packaging/{name}");
            looked_at.insert(name.to_owned());
        }
    }
    assert!(looked_at.len() > 10, "{looked_at:?}");
    for script in SCRIPTS {
        let path = root().join("packaging").join(script);
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o111, 0o111, "{script} cannot be run");
        assert!(read(&format!("packaging/{script}")).starts_with("#!/"), "{script}");
    }
}
