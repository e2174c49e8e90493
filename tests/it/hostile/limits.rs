//! What is too much is an error that says so, and never a part of it.

use std::fs;
use std::process::{Command, Stdio};

use super::World;
use crate::wait_until;

#[test]
fn a_job_has_all_of_its_files_or_is_refused() {
    let world = World::new();
    // Of the job itself: its manifest, its Makefile, and conf/ with a file.
    let many = world.at("workspace/jobs/api/many");
    fs::create_dir(&many).unwrap();
    for n in 0..100_001 - 5 {
        fs::File::create(many.join(n.to_string())).unwrap();
    }
    for command in [&["build"] as &[&str], &["plan", "validate", "plan.yaml"], &["info"]] {
        let ran = world.run(command).refused(&format!("{command:?}"), "jobs/api");
        assert!(ran.text.contains("100000"), "{}", ran.text);
    }
    assert!(!world.at("data/catalog.db").exists());
    fs::remove_file(many.join("0")).unwrap();
    let ran = world.run(&["info"]).ended("one less");
    assert_eq!(ran.code, 0, "{}", ran.text);
}

#[test]
fn folders_without_an_end_and_jobs_without_a_number_are_refused() {
    let world = World::new();
    let mut deep = world.at("workspace/jobs/api/deep");
    for _ in 0..70 {
        deep.push("d");
    }
    fs::create_dir_all(&deep).unwrap();
    world.run(&["build"]).refused("deep", "64 folders deep");
    fs::remove_dir_all(world.at("workspace/jobs/api/deep")).unwrap();
    for n in 0..5001 {
        fs::create_dir(world.at(&format!("workspace/jobs/j{n}"))).unwrap();
    }
    world.run(&["build"]).refused("many", "more than 5000 folders");
}

#[test]
fn a_thousand_wrong_files_are_not_a_thousand_problems() {
    let world = World::new();
    for n in 0..1000 {
        super::Kind::Pipe.put(&world, &world.at(&format!("workspace/jobs/api/pipe{n}")));
    }
    let ran = world.run(&["build"]).refused("pipes", "not listed");
    assert_eq!(ran.text.matches("is neither a file").count(), 50, "{}", ran.text);
}

#[test]
fn ports_of_one_variable_are_refused() {
    for (ports, wrong) in [
        ("{\"a-b\": {}, \"a_b\": {}}", true),
        ("{\"http\": 80, \"HTTP\": 81}", true),
        ("{\"a-b\": {}, \"ab\": {}, \"a_c\": {}}", false),
    ] {
        let world = World::new();
        let manifest = format!("{{\"selectors\": [\"worker\"], \"resources\": {{\"ports\": {ports}}}}}");
        fs::write(world.at("workspace/jobs/api/manifest.json"), manifest).unwrap();
        for command in [&["plan", "validate", "plan.yaml"] as &[&str], &["build"]] {
            let ran = world.run(command).ended(ports);
            assert_eq!(ran.text.contains("MAAND_PORT_"), wrong, "{ports}: {}", ran.text);
            assert_eq!(ran.code != 0, wrong, "{ports}: {}", ran.text);
        }
    }
}

#[test]
fn ctrl_c_ends_the_reading_of_a_large_file() {
    let world = World::new();
    let large = world.at("workspace/jobs/api/image");
    let file = fs::File::create(&large).unwrap();
    // Blocks that nobody wrote, and that are there: it is no sparse file.
    if rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, 2 << 30).is_err() {
        return;
    }
    let mut child = Command::new(env!("CARGO_BIN_EXE_maand"))
        .arg("build")
        .current_dir(world.at(""))
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let opened = || {
        let Ok(entries) = fs::read_dir(format!("/proc/{}/fd", child.id())) else { return false };
        entries.flatten().any(|entry| fs::read_link(entry.path()).is_ok_and(|path| path == large))
    };
    wait_until("the file is read", opened);
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(5));
    assert!(!world.at("data/catalog.db").exists());
}

/// Files within their bounds that would take gigabytes, or minutes, if all that is in them were looked at.
#[test]
fn many_values_are_not_much_memory() {
    let list =
        |one: &str, bytes: usize| format!("[{}{one}]", format!("{one},").repeat(bytes / (one.len() + 1)));
    let many = |bytes: usize, one: &dyn Fn(usize) -> String| {
        (0..bytes / one(100_000).len()).map(one).collect::<Vec<_>>().join(",")
    };
    let (large, small) = (20 << 20, (1 << 20) - 1000);
    let lines = |one: &dyn Fn(usize) -> String| {
        (0..(256 << 10) / (one(10_000).len() + 1) - 1).map(one).collect::<Vec<_>>().join("\n")
    };
    for (what, name, text) in [
        ("numbers", "workers.json", list("1", large)),
        ("one host", "workers.json", list("{\"host\": \"a\"}", large)),
        ("nothing", "workers.json", " ".repeat(large)),
        ("depth", "workers.json", "[".repeat(large)),
        ("one text", "workers.json", format!("[\"{}\"]", "a".repeat(large))),
        (
            "hosts",
            "disabled.json",
            format!("{{\"workers\": [{}]}}", many(large / 2, &|n| format!("\"h{n}\""))),
        ),
        ("keys", "jobs/api/manifest.json", format!("{{{}}}", many(small, &|n| format!("\"k{n}\":1")))),
        (
            "ports",
            "jobs/api/manifest.json",
            format!("{{\"resources\":{{\"ports\":{{{}}}}}}}", many(small, &|n| format!("\"p{n}\":{{}}"))),
        ),
        (
            "demands",
            "jobs/api/manifest.json",
            format!(
                "{{\"commands\":{{{}}}}}",
                many(small, &|n| format!("\"command_{n}\":{{\"demands\":{{\"job\":\"x{n}\"}}}}"))
            ),
        ),
        ("toml keys", "bucket.conf", lines(&|n| format!("k{n}=1"))),
        ("toml tables", "bucket.jobs.conf", lines(&|n| format!("[j{n}]"))),
        ("toml values", "bucket.conf", format!("a = {}", list("{a=1}", (256 << 10) - 100))),
    ] {
        let world = World::new();
        fs::write(world.at("workspace").join(name), text).unwrap();
        let ran = world.run(&["info"]).ended(what);
        assert!(ran.text.len() < 1 << 20, "{what}: {} bytes", ran.text.len());
    }
}
