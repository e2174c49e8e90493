# Recipes for what else needs an environment variable or a script of its own. `just` is optional: each recipe is an
# ordinary command that can be typed as it stands. `just --list` shows them all.

set positional-arguments

# Shows this list.
default:
    @just --list

# Compiles everything, examples and benches too.
check:
    cargo check --locked --all-targets

# What a change of a pure room needs: the rules of a run and their neighbours, in about a second once compiled.
test-rules:
    cargo test --locked --lib -- engine:: policy:: controller:: boot:: plan:: graph::

# Some tests by a part of their names, for example: just test journal::
test *FILTER:
    cargo test --locked "$@"

# All tests, as in CI; installs what is missing where it may.
test-all *FILTER:
    tests/run "$@"

# The two commands of README.md on a bare Debian, timed (root on Linux, the better part of an hour).
newcomer *ARGS:
    tests/newcomer "$@"

# The moving pictures of a terminal in README.md, recorded anew; look at them before you commit.
record:
    cargo build --locked
    cargo run --locked --example recording -- target/debug/maand docs/recording

# Everything that has to hold before a change goes in.
ci:
    .ci/run

# All that a release has, made and verified here, but for uploading it (docs/release.md).
release-dry-run *OUT:
    packaging/release-dry-run "$@"

# Advisories against what Cargo.lock has; fetches the database (needs cargo-deny).
advisories:
    cargo deny check advisories

# Format and lints.
lint:
    cargo fmt --all --check
    cargo clippy --locked --all-targets -- -D warnings

# The documentation of the library; broken links are errors.
doc:
    RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --locked

# The documentation as a book in target/book, and whether its links lead somewhere (needs mdBook 0.5).
book:
    mdbook build book
    MAAND_BOOK=target/book cargo test --locked --test it book::the_built

# Writes the committed JSON schemas, their list and the language reference anew; look at the difference before you commit.
update-schemas:
    MAAND_UPDATE_SCHEMAS=1 cargo test --locked --lib schema
    UPDATE_SCHEMA=1 cargo test --locked --test it plan::schema
    UPDATE_SCHEMA=1 cargo test --locked --test it book::every_schema

# Writes the snapshots (messages of plans, graphs, reports) anew; look at the difference before you commit.
update-snapshots:
    INSTA_UPDATE=always cargo test --locked --lib report::
    INSTA_UPDATE=always cargo test --locked --test it -- plan::cases graph::

# Writes what is expected of the bucket cases (tests/cases/bucket) anew.
update-cases:
    UPDATE_CASES=1 cargo test --locked --test it bucket_read

# Prints the hash over the traces of the first seeds, which stands in tests/it/sim.rs.
sim-trace:
    cargo test --locked --test it sim::traces -- --nocapture

# Prints the hash of each seed below COUNT, so that two versions can be compared with diff.
sim-traces COUNT='6000':
    MAAND_SIM_TRACES={{ COUNT }} cargo test --locked --release --test it sim::traces -- --nocapture

# Replays what a failing seed has printed: just sim-replay 'seed=..,salt=..'
sim-replay LINE:
    MAAND_SIM_REPLAY='{{ LINE }}' cargo test --locked --test it sim::replay -- --nocapture

# Fresh seeds for so many seconds, optimised.
sim-long SECONDS='3600':
    MAAND_SIM_SECONDS={{ SECONDS }} cargo test --locked --release --test it sim::fresh -- --nocapture

# RUNS seeds from SEED on.
sim-seeds SEED RUNS='1000':
    MAAND_SIM_SEED={{ SEED }} MAAND_SIM_RUNS={{ RUNS }} cargo test --locked --release --test it sim::fresh -- --nocapture

# What is said to be at stake, and the search behind it, against RUNS seeds.
sim-at-stake RUNS='100000':
    MAAND_SIM_RUNS={{ RUNS }} cargo test --locked --release --test it at_stake -- --nocapture

# Every pair of crashes of a small run, not only a sample.
sim-sweep:
    MAAND_SIM_SWEEP=1 cargo test --locked --release --test it sim::a_crash -- --nocapture

# How near admission comes to the shortest time, on COUNT fleets.
sim-paces COUNT='1000':
    MAAND_SIM_PACES={{ COUNT }} cargo test --locked --release --test it sim::auto -- --nocapture

# Silences in a monitoring system that hangs, lies and forgets, in runs of COUNT seeds: nothing else of a run changes.
sim-silences COUNT='2000':
    MAAND_SIM_SILENCES={{ COUNT }} cargo test --locked --test it sim::a_monitoring_system -- --nocapture

# Kills the real binary at every durability point, and at pairs of them (root on Linux, long).
crash-sweep:
    MAAND_CRASH_SWEEP=full cargo test --locked --test it run_crash -- --nocapture

# The controller of a run is killed so often, and a standby in another checkout continues: needs PostgreSQL
failovers times="20":
    MAAND_FAILOVERS={{times}} cargo test --locked --test it run_standby::whoever_is_killed -- --nocapture

# Writes a journal of the newest format as test data; only for a new format, under a new name.
write-old-journal:
    MAAND_TEST_WRITE_OLD_DATA=1 cargo test --locked --test it old_data

# One of the micro-benchmarks: catalog, graph, journal, plan, report, sim.
bench NAME:
    cargo bench --locked --bench {{ NAME }}

# What a plan adds to the time that WORKERS hosts need for their reboots (root on Linux).
bench-overhead WORKERS='5':
    benches/overhead.sh {{ WORKERS }}

# Memory while WORKERS are waited for at once (root on Linux).
bench-waiting WORKERS='1000' SECONDS='20':
    benches/waiting.sh {{ WORKERS }} {{ SECONDS }}

# What output costs the controller: WORKERS that print at once, GIB GiB from one command (root on Linux).
bench-output WORKERS='500' GIB='4':
    benches/output.sh {{ WORKERS }} {{ GIB }}

# Time and memory of a rehearsal.
bench-rehearsal WORKERS='50' CONCURRENCY='10' SPEED='2':
    benches/rehearsal.sh {{ WORKERS }} {{ CONCURRENCY }} {{ SPEED }}

# `maand run_command` against a bare libssh2 client and OpenSSH, on WORKERS servers (root on Linux).
bench-run-command WORKERS='50' ROUNDS='5':
    benches/run_command.sh {{ WORKERS }} {{ ROUNDS }}

# What the program weighs, what of it comes from where, and what its build costs: from nothing, or of a PROGRAM.
bench-footprint *PROGRAM:
    benches/footprint.sh {{ PROGRAM }}

# A binary for older systems, with OpenSSL built in, its names and lines beside it.
portable TARGET='x86_64-unknown-linux-gnu' OUT='target/out':
    packaging/build {{ TARGET }} {{ OUT }}

# Whether two builds of HEAD are the same bit by bit (takes as long as two releases).
reproducible TARGET='x86_64-unknown-linux-gnu':
    packaging/check-reproducible {{ TARGET }}

# Random bytes for one target of `fuzz/`: just fuzz workers 600 (needs cargo-fuzz and a nightly toolchain).
fuzz TARGET SECONDS='600':
    fuzz/run-all {{ SECONDS }} {{ TARGET }}

# Each target of `fuzz/` for SECONDS.
fuzz-all SECONDS='60':
    fuzz/run-all {{ SECONDS }}

# Makes `fuzz/seeds` of what fuzzing has found to be of use; look at what changes before you commit it.
fuzz-keep *TARGETS:
    fuzz/keep "$@"
