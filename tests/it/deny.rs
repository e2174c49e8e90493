//! Licences, banned crates and sources of what we link, checked against `deny.toml` without any other tool.
//!
//! `cargo deny` reads the same file where it is installed; this test runs everywhere and needs no network.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use serde::Deserialize;

#[derive(Deserialize)]
struct Deny {
    licenses: Licenses,
    bans: Bans,
    sources: Sources,
}

#[derive(Deserialize)]
struct Licenses {
    allow: BTreeSet<String>,
    #[serde(default)]
    exceptions: Vec<Exception>,
}

/// What one crate may have besides.
#[derive(Deserialize)]
struct Exception {
    #[serde(rename = "crate")]
    name: String,
    allow: BTreeSet<String>,
}

#[derive(Deserialize)]
struct Bans {
    deny: Vec<Banned>,
}

#[derive(Deserialize)]
struct Banned {
    #[serde(rename = "crate")]
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Sources {
    unknown_registry: String,
    unknown_git: String,
    #[serde(default)]
    allow_git: Vec<String>,
}

#[derive(Deserialize)]
struct Lock {
    package: Vec<Locked>,
}

#[derive(Deserialize)]
struct Locked {
    name: String,
    version: String,
    source: Option<String>,
    checksum: Option<String>,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
    license: Option<String>,
}

fn file(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

fn deny() -> Deny {
    toml::from_str(&file("deny.toml")).unwrap()
}

fn lock() -> Vec<Locked> {
    toml::from_str::<Lock>(&file("Cargo.lock")).unwrap().package
}

/// Whether an SPDX expression holds when exactly `allowed` may be used. `OR` binds weaker than `AND`, and
/// `/` is the old way to write `OR`.
fn permitted(expression: &str, allowed: &BTreeSet<String>) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let words: Vec<_> = spaced.split_whitespace().collect();
    let mut at = 0;
    let holds = any_of(&words, &mut at, allowed);
    holds && at == words.len()
}

fn any_of(words: &[&str], at: &mut usize, allowed: &BTreeSet<String>) -> bool {
    let mut holds = all_of(words, at, allowed);
    while words.get(*at) == Some(&"OR") {
        *at += 1;
        holds |= all_of(words, at, allowed);
    }
    holds
}

fn all_of(words: &[&str], at: &mut usize, allowed: &BTreeSet<String>) -> bool {
    let mut holds = one(words, at, allowed);
    while words.get(*at) == Some(&"AND") {
        *at += 1;
        holds &= one(words, at, allowed);
    }
    holds
}

fn one(words: &[&str], at: &mut usize, allowed: &BTreeSet<String>) -> bool {
    let Some(&word) = words.get(*at) else { return false };
    *at += 1;
    if word == "(" {
        let holds = any_of(words, at, allowed);
        let closed = words.get(*at) == Some(&")");
        *at += 1;
        return holds && closed;
    }
    let mut name = word.to_owned();
    if words.get(*at) == Some(&"WITH") {
        name = format!("{word} WITH {}", words.get(*at + 1).unwrap_or(&""));
        *at += 2;
    }
    allowed.contains(&name)
}

#[test]
fn licences_are_all_allowed() {
    let deny = deny();
    let host = Command::new("rustc").arg("-vV").output().unwrap();
    let host = String::from_utf8(host.stdout).unwrap();
    let host = host.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
    // Only this platform's crates: those of other platforms have not been downloaded.
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--offline", "--format-version", "1", "--locked", "--filter-platform", host])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Metadata = serde_json::from_slice(&output.stdout).unwrap();
    assert!(metadata.packages.len() > 100, "only {} packages", metadata.packages.len());
    let wrong: Vec<_> = metadata
        .packages
        .iter()
        .filter(|package| {
            let mut allowed = deny.licenses.allow.clone();
            let own = deny.licenses.exceptions.iter().filter(|exception| exception.name == package.name);
            allowed.extend(own.flat_map(|exception| exception.allow.iter().cloned()));
            !package.license.as_deref().is_some_and(|text| permitted(text, &allowed))
        })
        .map(|package| format!("{} {}: {:?}", package.name, package.version, package.license))
        .collect();
    assert!(wrong.is_empty(), "licences that deny.toml does not allow:\n{}", wrong.join("\n"));
}

#[test]
fn no_banned_crate_is_linked() {
    let banned: BTreeSet<_> = deny().bans.deny.into_iter().map(|banned| banned.name).collect();
    assert!(banned.contains("serde_yaml") && banned.contains("serde_yml"), "{banned:?}");
    let linked: Vec<_> =
        lock().into_iter().filter(|one| banned.contains(&one.name)).map(|one| one.name).collect();
    assert!(linked.is_empty(), "{linked:?}");
}

#[test]
fn everything_comes_from_the_registry_with_a_checksum() {
    let sources = deny().sources;
    assert_eq!((sources.unknown_registry.as_str(), sources.unknown_git.as_str()), ("deny", "deny"));
    assert!(sources.allow_git.is_empty());
    let packages = lock();
    assert!(packages.len() > 100);
    let known: BTreeSet<_> = packages.iter().filter_map(|one| one.source.as_deref()).collect();
    assert_eq!(known.len(), 1, "more than one source: {known:?}");
    assert!(known.iter().all(|source| source.starts_with("registry+")), "{known:?}");
    for one in packages.iter().filter(|one| one.name != env!("CARGO_PKG_NAME")) {
        assert!(one.source.is_some() && one.checksum.is_some(), "{} {}", one.name, one.version);
    }
}

#[test]
fn the_reader_of_licences_knows_or_and_and() {
    let allowed: BTreeSet<_> = ["MIT", "ISC", "Apache-2.0 WITH LLVM-exception"].map(str::to_owned).into();
    for good in [
        "MIT",
        "MIT OR GPL-3.0",
        "GPL-3.0/MIT",
        "MIT AND ISC",
        "(GPL-3.0 OR MIT) AND ISC",
        "Apache-2.0 WITH LLVM-exception",
    ] {
        assert!(permitted(good, &allowed), "{good}");
    }
    for bad in [
        "GPL-3.0",
        "MIT AND GPL-3.0",
        "(MIT OR ISC) AND GPL-3.0",
        "MIT OR ISC AND GPL-3.0)",
        "Apache-2.0",
        "",
        "MIT MIT",
    ] {
        assert!(!permitted(bad, &allowed), "{bad}");
    }
}
