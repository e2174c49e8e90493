//! Every kind of file, at every place where one is opened, before every command that opens it.

use std::fs;
use std::os::unix::fs::symlink;

use super::Kind::{Folder, HardLink, LinkOut, LinkToNothing, LinkToZero, Pipe, Socket, Sparse};
use super::{Kind, World};

const VALIDATE: &[&str] = &["plan", "validate", "plan.yaml"];
const SHOW: &[&str] = &["plan", "show", "plan.yaml"];
const INFO: &[&str] = &["info"];
const BUILD: &[&str] = &["build"];
const APPLY: &[&str] = &["plan", "apply", "plan.yaml", "--yes"];
const LIST: &[&str] = &["plan", "list"];
const CAT: &[&str] = &["cat", "deployments"];
const COMMAND: &[&str] = &["run_command"];
const INIT: &[&str] = &["init"];

/// In place of a file that is read.
const READ: &[Kind] = &[Pipe, Socket, LinkOut, LinkToZero, Sparse];
/// In place of a file that is our own.
const OWN: &[Kind] = &[Pipe, Socket, Folder, LinkOut, LinkToNothing, LinkToZero, HardLink];

/// Puts each kind there: the first commands must refuse it by name, the others at least end.
fn each(place: &str, kinds: &[Kind], refuse: &[&[&str]], end: &[&[&str]]) {
    let name = place.rsplit('/').next().unwrap();
    for kind in kinds {
        let world = World::new();
        kind.put(&world, &world.at(place));
        let before = world.outside();
        for command in refuse {
            world.run(command).refused(&format!("{kind:?} at {place}: {command:?}"), name);
        }
        for command in end {
            let _ = world.run(command).ended(&format!("{kind:?} at {place}: {command:?}"));
        }
        assert_eq!(world.outside(), before, "{kind:?} at {place}");
        if *kind == LinkOut {
            assert!(world.at(place).is_symlink(), "{place}");
        }
    }
}

#[test]
fn a_bucket_as_it_should_be_is_refused_by_none() {
    let world = World::new();
    for command in [VALIDATE, SHOW, INFO, BUILD, CAT, INIT] {
        let ran = world.run(command).ended(&format!("{command:?}"));
        assert_eq!(ran.code, 0, "{command:?}: {}", ran.text);
    }
    // There is nobody to reach, which is found out after all that the others are about.
    assert!(world.run(APPLY).ended("apply").text.contains("127.0.0.1"));
}

#[test]
fn settings_and_plans() {
    each("maand.conf", READ, &[VALIDATE, INFO, INIT], &[]);
    each("plan.yaml", &[Pipe, Socket, Folder, LinkToZero, Sparse], &[VALIDATE, SHOW, APPLY], &[]);
    each("patch.sh", READ, &[APPLY], &[SHOW]);
}

#[test]
fn workers_and_what_is_disabled() {
    each("workspace/workers.json", READ, &[VALIDATE, INFO], &[SHOW]);
    each("workspace/disabled.json", READ, &[VALIDATE, BUILD], &[]);
    each("workspace/bucket.conf", &[Pipe, LinkOut], &[VALIDATE, BUILD], &[]);
    each("workspace/bucket.jobs.conf", &[Pipe, LinkOut], &[INFO], &[]);
    each("workspace/command.sh", READ, &[COMMAND], &[]);
    each(".gitignore", &[Pipe, LinkOut, Sparse], &[INIT], &[INFO]);
}

#[test]
fn the_files_of_a_job() {
    each("workspace/jobs/api/manifest.json", READ, &[VALIDATE, BUILD], &[]);
    for place in ["workspace/jobs/api/Makefile", "workspace/jobs/api/conf/x"] {
        each(place, &[Pipe, Socket, Sparse], &[VALIDATE, BUILD], &[INFO]);
    }
    // Links in a job are sent as links: nothing behind them is read.
    each("workspace/jobs/api/conf/x", &[LinkOut, LinkToZero], &[], &[BUILD]);
    each("workspace/notes", &[Pipe, Socket], &[APPLY], &[VALIDATE]);
}

#[test]
fn locks() {
    each("data/catalog.lock", OWN, &[BUILD], &[INFO, VALIDATE]);
    each("data/plan.lock", OWN, &[APPLY], &[INFO]);
}

#[test]
fn databases_of_our_own() {
    each("data/plan.db", OWN, &[LIST], &[VALIDATE, INFO]);
    each("data/plan.db", &[LinkOut, LinkToNothing, HardLink], &[APPLY], &[]);
    each("data/catalog.db", OWN, &[BUILD, CAT], &[INFO]);
}

#[test]
fn files_beside_databases_of_our_own() {
    for (database, make, refuse) in [("data/plan.db", APPLY, LIST), ("data/catalog.db", BUILD, CAT)] {
        for ending in ["-wal", "-shm", "-journal"] {
            for kind in [Pipe, LinkOut, HardLink] {
                let world = World::new();
                let _ = world.run(make).ended("make it");
                assert!(world.at(database).is_file());
                kind.put(&world, &world.at(&format!("{database}{ending}")));
                let before = world.outside();
                for command in [refuse, make] {
                    world
                        .run(command)
                        .refused(&format!("{kind:?} at {database}{ending}: {command:?}"), ending);
                }
                assert_eq!(world.outside(), before);
            }
        }
    }
}

#[test]
fn the_upstream_programs_database() {
    for kind in [Pipe, Socket, Folder, LinkOut, LinkToNothing, LinkToZero, Sparse] {
        let world = World::new();
        fs::write(world.at("maand.conf"), "ssh_config = false\n").unwrap();
        kind.put(&world, &world.at("data/maand.db"));
        let before = world.outside();
        for command in [VALIDATE, INFO, APPLY] {
            world.run(command).refused(&format!("{kind:?}: {command:?}"), "maand.db");
        }
        // For that the upstream program would be needed, which is not there.
        world.run(BUILD).refused(&format!("{kind:?}"), "upstream");
        assert_eq!(world.outside(), before, "{kind:?}");
    }
}

#[test]
fn folders_that_lead_elsewhere() {
    for (place, commands) in [
        ("data", &[BUILD, APPLY] as &[&[&str]]),
        ("workspace", &[VALIDATE, INFO, BUILD]),
        ("workspace/jobs", &[VALIDATE, INFO, BUILD]),
        ("workspace/jobs/api", &[VALIDATE, INFO, BUILD]),
    ] {
        let world = World::new();
        fs::remove_dir_all(world.at(place)).unwrap();
        let target = match place.strip_prefix("workspace") {
            None => world.folder.path().join("home"),
            Some(below) => world.folder.path().join(format!("outside/tree{below}")),
        };
        symlink(target, world.at(place)).unwrap();
        let before = world.outside();
        for command in commands {
            let name = place.rsplit('/').next().unwrap();
            world.run(command).refused(&format!("{place}: {command:?}"), name);
        }
        assert_eq!(world.outside(), before, "{place}");
    }
}

#[test]
fn a_pipe_that_hides_a_bucket_does_not_lead_to_another_one() {
    let world = World::new();
    let inner = world.at("inner");
    fs::create_dir(&inner).unwrap();
    Pipe.put(&world, &inner.join("maand.conf"));
    let ran = world.run(&["-C", "inner", "info"]).refused("named", "maand.conf");
    assert!(ran.text.contains("named pipe"), "{}", ran.text);
    // Found from inside, it is still the nearest.
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_maand"))
        .arg("info")
        .current_dir(&inner)
        .output()
        .unwrap();
    assert!(!output.status.success() && String::from_utf8_lossy(&output.stderr).contains("named pipe"));
}

#[test]
fn what_a_shell_puts_there_for_a_command_is_a_plan() {
    let world = World::new();
    let output = std::process::Command::new("sh")
        .args([
            "-c",
            "\"$0\" plan validate /dev/fd/3 3<plan.yaml && cat plan.yaml | \"$0\" plan validate /dev/stdin -",
        ])
        .arg(env!("CARGO_BIN_EXE_maand"))
        .current_dir(world.at(""))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.starts_with("/dev/fd/3: ok") && said.contains("/dev/stdin: ok"), "{said}");
}
