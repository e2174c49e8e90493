//! Databases that came with a checkout: what their schema says is not carried out.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use rusqlite::Connection;

use super::World;

/// Tables as the upstream program makes them, as far as they are looked at.
const REAL: &str = "CREATE TABLE schema_version (id INTEGER PRIMARY KEY, version INTEGER);
    CREATE TABLE bucket (bucket_id TEXT, update_seq INT);
    CREATE TABLE worker (worker_id TEXT, worker_ip TEXT);
    CREATE TABLE job (name TEXT, health_check TEXT);
    CREATE TABLE job_commands (job TEXT, executed_on TEXT);
    CREATE TABLE allocations (alloc_id TEXT, worker_ip TEXT, job TEXT, disabled INT, removed INT,
        deployment_seq INT, new_version TEXT);
    CREATE TABLE hash (namespace TEXT, key TEXT, current_hash TEXT, previous_hash TEXT, current_version TEXT);
    INSERT INTO schema_version VALUES (1, 1);
    INSERT INTO bucket VALUES ('b', 1);";

const ENDLESS: &str = "WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n)";

fn make(path: &Path, schema: &str) {
    let connection = Connection::open(path).unwrap();
    connection.execute_batch(schema).unwrap();
}

/// Tables that are none, and what they cost whoever believes them.
fn hostile() -> Vec<(&'static str, String)> {
    let instead = |table: &str, columns: &str| {
        format!("{REAL} DROP TABLE {table}; CREATE VIEW {table} AS {ENDLESS} SELECT {columns} FROM n;")
    };
    let many: String = (0..2000).map(|n| format!("CREATE TABLE t{n} (a, b, c);")).collect();
    let wide: String = (0..1500).map(|n| format!("c{n},")).collect();
    vec![
        ("an id without an end", instead("bucket", "'b' AS bucket_id, x AS update_seq").replace("FROM n;", "FROM n WHERE x < 0;")),
        ("a version without an end", instead("schema_version", "x AS version")),
        ("workers without an end", instead("worker", "x AS worker_id, 'w' || x AS worker_ip")),
        ("allocations without an end", instead("allocations", "x AS alloc_id, 'w' || x AS worker_ip, 'j' AS job")),
        ("a promised view without an end", format!("{REAL} CREATE VIEW cat_deployments AS {ENDLESS} SELECT x FROM n;")),
        ("computed columns", format!(
            "{REAL} DROP TABLE bucket; CREATE TABLE bucket (n, bucket_id AS (hex(zeroblob(400000000))), update_seq INT);
             INSERT INTO bucket VALUES (1, 1);"
        )),
        ("a huge schema", format!("BEGIN; {REAL} {many} COMMIT;")),
        ("a wide table", format!("{REAL} CREATE TABLE wide ({wide} z);")),
        ("a huge value", format!("{REAL} UPDATE bucket SET bucket_id = hex(zeroblob(20000000));")),
        ("many rows", format!(
            "{REAL} INSERT INTO allocations (worker_ip, job)
             WITH n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 400000) SELECT 'w' || x, 'j' FROM n;"
        )),
        ("text instead of a database", String::new()),
    ]
}

#[test]
fn upstreams_database_is_read_and_not_believed() {
    for (what, schema) in hostile() {
        let world = World::new();
        if schema.is_empty() {
            fs::write(world.at("data/maand.db"), "x".repeat(5000)).unwrap();
        } else {
            make(&world.at("data/maand.db"), &schema);
        }
        let bytes = fs::read(world.at("data/maand.db")).unwrap();
        for command in
            [&["plan", "validate", "plan.yaml"] as &[&str], &["plan", "show", "plan.yaml"], &["info"]]
        {
            let _ = world.run(command).ended(&format!("{what}: {command:?}"));
        }
        assert!(fs::read(world.at("data/maand.db")).unwrap() == bytes, "{what}");
        assert_eq!(fs::read_dir(world.at("data")).unwrap().count(), 1, "{what}");
    }
}

#[test]
fn a_real_one_is_read_through_its_tables() {
    let world = World::new();
    make(&world.at("data/maand.db"), REAL);
    let ran = world.run(&["info"]).ended("info");
    assert!(ran.text.contains("schema version 1, update_seq 1"), "{}", ran.text);
}

#[test]
fn files_beside_it_are_not_followed() {
    for ending in ["-wal", "-shm", "-journal"] {
        let world = World::new();
        make(&world.at("data/maand.db"), &format!("PRAGMA journal_mode=WAL; {REAL}"));
        fs::write(world.at("data/maand.db-wal"), "").unwrap();
        let beside = world.at(&format!("data/maand.db{ending}"));
        let _ = fs::remove_file(&beside);
        symlink(world.precious(), &beside).unwrap();
        let before = world.outside();
        let ran = world.run(&["info"]).ended(ending);
        assert!(ran.text.contains(ending) && ran.text.contains("link"), "{ending}: {}", ran.text);
        assert_eq!(world.outside(), before, "{ending}");
    }
}

#[test]
fn a_journal_or_catalog_with_another_schema_is_refused() {
    for (database, application, commands) in [
        (
            "data/plan.db",
            0x6d61_616e,
            [&["plan", "list"] as &[&str], &["plan", "apply", "plan.yaml", "--yes"]],
        ),
        ("data/catalog.db", 0x6d61_6163, [&["cat", "deployments"], &["build"]]),
    ] {
        for (what, sql) in [
            ("view", format!("CREATE VIEW run AS {ENDLESS} SELECT x AS n FROM n")),
            (
                "trigger",
                "CREATE TABLE run (n); CREATE TRIGGER t AFTER INSERT ON run BEGIN DELETE FROM run; END"
                    .into(),
            ),
            ("computed column", "CREATE TABLE run (n, id AS (hex(zeroblob(400000000))))".into()),
        ] {
            let world = World::new();
            make(
                &world.at(database),
                &format!("PRAGMA application_id={application}; PRAGMA user_version=1; {sql};"),
            );
            for command in commands {
                world.run(command).refused(&format!("{what}: {command:?}"), what);
            }
        }
    }
}

/// A hot rollback journal that names a super-journal makes SQLite remove that file.
#[test]
fn a_rollback_journal_removes_no_file_of_the_users() {
    let world = World::new();
    let _ = world.run(&["build"]).ended("build");
    let name = world.precious().to_str().unwrap().to_owned();
    let sum: u32 = name.bytes().map(u32::from).sum();
    let mut journal = Vec::new();
    journal.extend([0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7]);
    journal.extend([0_u32, 0, 4096, 512, 4096].iter().flat_map(|number| number.to_be_bytes()));
    journal.resize(512, 0);
    journal.extend(name.bytes());
    journal.extend((name.len() as u32).to_be_bytes());
    journal.extend(sum.to_be_bytes());
    journal.extend([0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7]);
    fs::write(world.at("data/catalog.db-journal"), journal).unwrap();
    let before = world.outside();
    for command in [&["build"] as &[&str], &["cat", "deployments"]] {
        world.run(command).refused("a super-journal", "catalog.db-journal");
    }
    assert_eq!(world.outside(), before);
}
