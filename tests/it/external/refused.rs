//! What does not begin at all on a bucket of upstream's, and why. Nothing of this needs hosts.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Output};

use serde_json::json;

use super::bench::program;
use crate::catalog::BUCKET_ID;

/// A bucket that was built by upstream; nothing answers at its address.
fn bucket() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("maand.conf", "ssh_user = \"root\"\nssh_key = \"worker.key\"\nssh_config = false\n");
    write("secrets/worker.key", "no key\n");
    write("stand-in/bucket_id", BUCKET_ID);
    write("workspace/workers.json", &json!([{"host": "127.0.0.9", "labels": ["app"]}]).to_string());
    write("workspace/jobs/web/manifest.json", &json!({"version": "1.0.0", "selectors": ["app"]}).to_string());
    write("workspace/jobs/web/Makefile", "start stop restart:\n\t@true\n");
    write("plan.yaml", "version: 1\nname: own\nsteps: [disable, deploy, enable, deploy]\n");
    for (path, mode) in [("secrets/worker.key", 0o600), ("secrets", 0o700)] {
        fs::set_permissions(dir.path().join(path), fs::Permissions::from_mode(mode)).unwrap();
    }
    for command in ["init", "build"] {
        let done = Command::new(program()).arg(command).current_dir(dir.path()).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }
    dir
}

/// Runs us there, with only this on PATH besides the usual.
fn maand(dir: &Path, path: Option<&Path>, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_maand"));
    command.arg("-C").arg(dir).args(arguments).env_remove("MAAND_BIN");
    if let Some(path) = path {
        command.env("PATH", path);
    }
    let Output { status, stdout, stderr } = command.output().unwrap();
    (status.code(), format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr)))
}

fn ran(dir: &Path) -> usize {
    fs::read_to_string(dir.join("stand-in/log")).unwrap().lines().count()
}

#[test]
fn the_program_is_found_on_path_and_never_is_this_one() {
    let dir = bucket();
    let bin = tempfile::tempdir().unwrap();
    let (copies, upstream) = (bin.path().join("copies"), bin.path().join("upstream"));
    let links = bin.path().join("links");
    for folder in [&copies, &links, &upstream] {
        fs::create_dir(folder).unwrap();
    }
    fs::copy(env!("CARGO_BIN_EXE_maand"), copies.join("maand")).unwrap();
    symlink(env!("CARGO_BIN_EXE_maand"), links.join("maand")).unwrap();
    let path = |folders: &[&Path]| std::path::PathBuf::from(std::env::join_paths(folders).unwrap());
    let only_us = path(&[&copies, &links]);
    let before = ran(dir.path());
    for arguments in [&["build"][..], &["cat", "kv"], &["plan", "apply", "plan.yaml", "--yes"]] {
        let mut arguments = arguments.to_vec();
        let plan = dir.path().join("plan.yaml").display().to_string();
        arguments.iter_mut().filter(|word| **word == "plan.yaml").for_each(|word| *word = &plan);
        let (code, said) = maand(dir.path(), Some(&only_us), &arguments);
        assert!(matches!(code, Some(1..=4)), "{arguments:?} {code:?} {said}");
        assert!(said.contains("maand::external::no_program"), "{arguments:?}: {said}");
        assert!(said.contains("--maand-bin") && said.contains("MAAND_BIN"), "{said}");
    }
    // It may be named, and then it has to be another one, too.
    for own in [copies.join("maand"), links.join("maand")] {
        let (code, said) = maand(dir.path(), None, &["--maand-bin", &own.display().to_string(), "build"]);
        assert_ne!(code, Some(0));
        assert!(said.contains("this program"), "{said}");
    }
    assert_eq!(ran(dir.path()), before);
    // Behind ours on PATH is the other one.
    symlink(program(), upstream.join("maand")).unwrap();
    let all = path(&[&links, &copies, &upstream]);
    let (code, said) = maand(dir.path(), Some(&all), &["cat", "workers"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("127.0.0.9"), "{said}");
    let (_, said) = maand(dir.path(), Some(&all), &["info"]);
    assert!(said.contains(&upstream.join("maand").display().to_string()), "{said}");
    // A script that stands for the other program and leads back to us ends at once.
    let script = bin.path().join("script");
    fs::write(&script, format!("#!/bin/sh\nexec {} \"$@\"\n", env!("CARGO_BIN_EXE_maand"))).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let (code, said) = maand(dir.path(), None, &["--maand-bin", &script.display().to_string(), "build"]);
    assert_ne!(code, Some(0));
    assert!(said.contains("maand::external::nested"), "{said}");
}

#[test]
fn a_newer_schema_and_a_broken_database_are_refused_in_words() {
    let dir = bucket();
    let database = dir.path().join("data/maand.db");
    let plan = dir.path().join("plan.yaml").display().to_string();
    let bin = program().display().to_string();
    let change = |sql: &str| {
        let connection = rusqlite::Connection::open(&database).unwrap();
        connection.execute_batch(sql).unwrap();
    };
    change("UPDATE schema_version SET version = 99");
    let bytes = fs::read(&database).unwrap();
    let (code, said) = maand(dir.path(), None, &["--maand-bin", &bin, "plan", "apply", &plan, "--yes"]);
    assert_ne!(code, Some(0));
    assert!(said.contains("99") && said.contains("newer"), "{said}");
    assert!(!dir.path().join("workspace/disabled.json").exists());
    let (_, said) = maand(dir.path(), None, &["--maand-bin", &bin, "info"]);
    assert!(said.contains("99"), "{said}");
    assert_eq!(fs::read(&database).unwrap(), bytes);
    fs::write(&database, "this is no database, and longer than a header would be: ".repeat(20)).unwrap();
    let (code, said) = maand(dir.path(), None, &["--maand-bin", &bin, "plan", "apply", &plan, "--yes"]);
    assert!(matches!(code, Some(1..=4)), "{code:?} {said}");
    assert!(said.contains("maand.db"), "{said}");
    assert!(!dir.path().join("workspace/disabled.json").exists());
}

#[test]
fn what_apply_refuses_of_secrets_is_said_by_all_that_look() {
    let dir = bucket();
    let bin = program().display().to_string();
    let plan = dir.path().join("plan.yaml").display().to_string();
    let looks = [&["plan", "validate", &plan][..], &["plan", "show", &plan], &["info"]];
    let apply = ["plan", "apply", &plan, "--yes"];
    let code = "maand::bucket::secrets_readable";
    // What of it is said, and whether it is refused: OpenSSH's client minds the key, not the folder.
    for (folder, key, said, refused) in [
        (0o700, 0o600, false, false),
        (0o755, 0o600, true, false),
        (0o755, 0o644, true, true),
        (0o777, 0o600, true, true),
    ] {
        for (path, mode) in [("secrets/worker.key", key), ("secrets", folder)] {
            fs::set_permissions(dir.path().join(path), fs::Permissions::from_mode(mode)).unwrap();
        }
        for arguments in looks.iter().chain([&&apply[..]]) {
            let arguments = [&["--maand-bin", &bin][..], arguments].concat();
            let (exit, text) = maand(dir.path(), None, &arguments);
            // Nothing answers at the worker's address, so that `apply` says its warnings only when it is refused.
            let applies = arguments.contains(&"apply");
            assert_eq!(
                text.contains(code),
                if applies { refused } else { said },
                "{folder:o} {key:o} {arguments:?} {text}"
            );
            if applies {
                assert_eq!(exit == Some(3), refused, "{folder:o} {key:o} {text}");
            } else if arguments.contains(&"info") || !refused {
                assert_eq!(exit, Some(0), "{text}");
            } else {
                assert_eq!(exit, Some(3), "{arguments:?} {text}");
            }
        }
    }
    // Without the program, too.
    let empty = tempfile::tempdir().unwrap();
    for arguments in &looks[..2] {
        let (exit, text) = maand(dir.path(), Some(empty.path()), arguments);
        assert!(text.contains("maand::external::no_program"), "{exit:?} {text}");
    }
}

#[test]
fn the_builtin_engine_is_refused_on_such_a_bucket() {
    let dir = bucket();
    for arguments in [&["build"][..], &["deploy"]] {
        let arguments = [&["--engine", "builtin"][..], arguments].concat();
        let (code, said) = maand(dir.path(), None, &arguments);
        assert!(matches!(code, Some(1..=4)), "{code:?} {said}");
        assert!(said.contains("data/maand.db") && said.contains("--engine"), "{said}");
    }
    assert!(!dir.path().join("data/catalog.db").exists());
}

#[test]
fn what_upstream_refuses_in_workers_json_is_told_before() {
    let dir = bucket();
    let bin = program().display().to_string();
    let plan = dir.path().join("plan.yaml").display().to_string();
    let workers = json!([{"host": "127.0.0.9", "labels": ["worker", "app"]}]);
    fs::write(dir.path().join("workspace/workers.json"), workers.to_string()).unwrap();
    let (code, said) = maand(dir.path(), None, &["--maand-bin", &bin, "plan", "apply", &plan, "--yes"]);
    assert!(matches!(code, Some(1..=4)), "{code:?} {said}");
    assert!(said.contains("workers.json") && said.contains("worker"), "{said}");
    assert!(said.contains("maand::external::label_worker"), "{said}");
    assert!(!dir.path().join("workspace/disabled.json").exists());
    // `user@::1:/opt/worker` means something else to rsync.
    for host in ["::1", "[::1]", "[::1]:2222", "2001:db8::1"] {
        fs::write(dir.path().join("workspace/workers.json"), json!([{"host": host}]).to_string()).unwrap();
        for arguments in [&["plan", "apply", &plan, "--yes"][..], &["plan", "validate", &plan]] {
            let (code, said) = maand(dir.path(), None, &[&["--maand-bin", &bin], arguments].concat());
            assert!(matches!(code, Some(1..=4)), "{host}: {arguments:?} {code:?} {said}");
            assert!(said.contains("maand::external::ipv6"), "{host}: {arguments:?} {said}");
        }
    }
}
