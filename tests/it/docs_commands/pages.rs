//! Which pages are carried out, with what they need, and what is not carried out and why.

/// How the commands of a page are carried out. All of them run in one shell, which begins in the bucket of a fleet of
/// three; questions are answered with yes.
pub(super) struct Page {
    pub(super) name: &'static str,
    /// What has to be there first, typed into the same shell.
    pub(super) before: &'static [&'static str],
    /// What is typed behind a command that begins so.
    pub(super) after: &'static [(&'static str, &'static str)],
    /// Exit codes other than 0, of commands that begin so.
    pub(super) codes: &'static [(&'static str, i32)],
}

/// A plan that is over in a second, in the place of one that reboots.
const SHORT: &str = r"printf 'version: 1\nname: monday\nsteps: [disable, enable]\n' > monday.yaml";

/// A run that has ended.
const RAN: &str = r"printf 'version: 1\nname: monday\nsteps: [disable, enable]\n' > monday.yaml && maand plan apply monday.yaml";

/// A plan that reboots, without a time to settle.
const REBOOTS: &str =
    "maand plan new monday --from rolling-reboot && sed -i 's/settle: 10s/settle: 0s/' monday.yaml";

/// Stops it in the first worker's reboot, as Ctrl-C does; on a slow machine it may take several runs.
const STOPPED: &str = "for try in 1 2 3 4 5; do maand plan apply monday.yaml > out & it=$!; until grep -q '10.0.0.1 .*reboot: started$' out || ! kill -0 $it; do sleep 0.02; done; kill -INT $it; wait $it; grep -q '10.0.0.1 .*held .*reboot; boot .* -> ' out && break; maand plan abort; printf '{}' > workspace/disabled.json; done; cat out";

/// The same in the second worker's.
const STOPPED_LATER: &str = "for try in 1 2 3 4 5; do maand plan apply monday.yaml > out & it=$!; until grep -q '10.0.0.2 .*reboot: started$' out || ! kill -0 $it; do sleep 0.02; done; kill -INT $it; wait $it; grep -q '10.0.0.2 .*held .*reboot; boot .* -> ' out && break; maand plan abort; printf '{}' > workspace/disabled.json; done; cat out";

/// What is not carried out: the page (`*`: any), how the line begins, and why.
pub(super) const NOT_RUN: &[(&str, &str, &str)] = &[
    (
        "*",
        "cargo run --release",
        "builds for minutes; tests/newcomer types it, and tests/it/rehearse.rs does the same",
    ),
    ("*", "cargo install", "builds for minutes, and installs"),
    ("*", "maand serve", "ends with Ctrl-C only; tests/it/serve.rs"),
    ("*", "ssh -L", "there is no second machine"),
    ("README.md", "tests/run", "this test is a part of it"),
    ("docs/install.md", "sudo", "changes the machine; packaging/test-packages does it in clean roots"),
    ("docs/install.md", "packaging/", "needs a release; packaging/release-dry-run does it"),
    ("docs/install.md", "docker", "needs a container engine; packaging/test-container does it"),
    ("docs/install.md", "maand plan rehearse /usr", "needs the package; packaging/test-installed does it"),
    (
        "docs/release.md",
        "curl",
        "there is no release yet; tests/it/installer.rs installs from a server of its own",
    ),
    ("docs/release.md", "sh install.sh", "the same"),
    ("docs/release.md", "minisign", "there is no release yet; packaging/release verifies what it makes"),
    ("docs/release.md", "sha256sum", "the same"),
    ("docs/release.md", "gh attestation", "another machine's word about a release"),
    ("docs/footprint.md", "python3", "installs tools; packaging/release-dry-run does it"),
    ("docs/footprint.md", "PATH=", "builds for minutes; packaging/check-portable looks at the result"),
    ("docs/footprint.md", "id=", "needs what the line before has built"),
    ("docs/footprint.md", "install -D", "changes the machine"),
    ("docs/footprint.md", "addr2line", "needs what was built"),
    (
        "docs/ledger.md",
        "maand",
        "it needs a PostgreSQL; tests/it/run_standby.rs and tests/it/journal/postgres.rs",
    ),
    ("docs/notices.md", "maand notify", "a throwaway fleet tells nobody; tests/it/notices.rs"),
    ("docs/bundle.md", "maand plan resume --from", "needs another checkout; tests/it/run_bundle.rs"),
    ("docs/start.md", "maand plan resume --from", "needs another checkout; tests/it/run_bundle.rs"),
    (
        "docs/doctor.md",
        "maand doctor",
        "thirty workers, each with another fault; tests/it/doctor.rs has them",
    ),
    ("docs/power.md", "openssl", "needs a BMC; tests/it/run_power.rs has one"),
    ("docs/inventories.md", "ansible-inventory", "another program; tests/it/inventories.rs runs it"),
    (
        "docs/inventories.md",
        "maand import ansible fleet.json --yes",
        "then there is no difference to show further down",
    ),
    (
        "docs/integrations.md",
        "maand plan metrics --out /var/lib",
        "a folder of the machine; tests/it/metrics.rs",
    ),
    ("docs/a-run.md", "maand plan apply", "it is interrupted in the middle, before the page"),
    ("docs/proven.md", "MAAND_SIM_SECONDS", "an hour"),
    (
        "docs/proven.md",
        "just",
        "needs just, cargo-fuzz and a nightly toolchain; fuzz/run-all is the nightly job",
    ),
    (
        "docs/timeline.md",
        "maand plan status --timeline",
        "a run of eight workers that has halted; tests/it/run_timeline.rs",
    ),
    ("docs/pending.md", "maand plan resume", "needs a change in the middle of a run; tests/it/run_edit.rs"),
];

/// Outputs that are shown and were not printed while their page was carried out: the page, how the piece begins (`*`: all
/// of the page), and why.
pub(super) const NOT_SEEN: &[(&str, &str, &str)] = &[
    ("README.md", "What each worker went through", "a rehearsal of half a minute; tests/it/rehearse.rs"),
    ("README.md", "Verdict, by what", "the same"),
    ("README.md", "Every promise was kept", "the same"),
    ("docs/rehearsals.md", "*", "a rehearsal of half a minute; tests/it/rehearse.rs"),
    ("docs/a-run.md", "*", "hosts that take seconds to go down; tests/it/run_apply.rs"),
    ("docs/at-stake.md", "Not all was looked at", "what 5 seconds are enough for; src/cli/plan/check"),
    ("docs/doctor.md", "*", "thirty workers, each with another fault; tests/it/doctor.rs has them"),
    ("docs/history.md", "*", "a history of weeks; tests/it/run_history.rs"),
    ("docs/pending.md", "*", "jobs of several files in two versions; tests/it/pending.rs"),
    ("docs/review-in-ci.md", "*", "two plans for fifteen workers; tests/it/plan_diff.rs"),
    ("docs/reviewed-plans.md", "× monday.yaml's file", "eleven changes at once; tests/it/reviewed.rs"),
    ("docs/serve.md", "*", "ends with Ctrl-C only; tests/it/serve.rs"),
    ("docs/serve-control.md", "*", "ends with Ctrl-C only; tests/it/serve_control.rs"),
    ("docs/timeline.md", "*", "pictures of runs that took minutes; tests/it/run_timeline.rs"),
];

/// Why this piece was not printed.
pub(super) fn not_seen(page: &str, piece: &str) -> Option<&'static str> {
    let begins = |begin: &str| begin == "*" || piece.trim_start().starts_with(begin);
    NOT_SEEN.iter().find(|(at, begin, _)| *at == page && begins(begin)).map(|(_, _, why)| *why)
}

/// Why this line is not carried out.
pub(super) fn not_run(page: &str, line: &str) -> Option<&'static str> {
    let row = NOT_RUN.iter().find(|(at, begin, _)| (*at == "*" || *at == page) && line.starts_with(begin));
    row.map(|(_, _, why)| *why)
}

const PLAIN: Page = Page { name: "", before: &[], after: &[], codes: &[] };

/// In this order on one fleet.
pub(super) const PAGES: &[Page] = &[
    Page {
        name: "README.md",
        after: &[("maand init", "cd \"$BUCKET\""), ("maand plan new", SHORT)],
        before: &["cd \"$WORK\""],
        ..PLAIN
    },
    Page {
        name: "docs/start.md",
        before: &["cd \"$WORK\""],
        after: &[
            ("maand init", "cd \"$BUCKET\""),
            ("maand plan new", SHORT),
            ("maand plan new", "cp monday.yaml old.yaml"),
        ],
        // The run before it has ended, and well.
        codes: &[("maand plan pause", 3), ("maand plan resume --", 3)],
    },
    Page {
        name: "docs/operations.md",
        before: &[
            // Commands of `local` steps are executed, on this machine.
            "sed -i 's/^execute = .*/execute = true/' maand.conf",
            r#"printf 'version: 1\nname: upgrade\nsteps:\n  - disable\n  - deploy\n  - id: upgrade\n    local: {idempotent: true, command: "echo E: Could not get lock /var/lib/dpkg/lock-frontend; exit 100"}\n  - enable\n' > upgrade.yaml"#,
            "maand plan apply upgrade.yaml || test $? = 1",
            "maand plan abort",
            "printf '{}' > workspace/disabled.json",
            r#"printf 'version: 1\nname: migrate\nsteps:\n  - id: migrate\n    local: {command: "sleep 60"}\n' > migrate.yaml"#,
            "maand plan apply migrate.yaml > out & it=$!",
            "until grep -q 'migrate: started' out; do sleep 0.05; done",
            "maand plan pause; until maand plan explain --worker 10.0.0.3 | grep -q paused; do sleep 0.05; done; maand plan explain --worker 10.0.0.3",
            "maand plan apply upgrade.yaml || test $? = 4",
            "kill -9 $it; wait $it || true",
            "maand plan resume || test $? = 5",
            "maand plan abort",
            // The key of another worker in the place of the first one's.
            "awk 'NR == 1 {host = $1; next} NR == 2 {print host, $2, $3} {print}' secrets/known_hosts > keys; cp secrets/known_hosts kept; cp keys secrets/known_hosts",
            "maand plan apply upgrade.yaml || test $? = 1",
            "cp kept secrets/known_hosts",
            r"printf 'version: 1\nname: gate\nbefore: [approve]\nsteps: [disable, enable]\n' > gate.yaml",
            "maand plan apply gate.yaml || test $? = 5",
            "maand plan abort",
            REBOOTS,
            STOPPED_LATER,
        ],
        ..PLAIN
    },
    Page { name: "docs/a-run.md", before: &[REBOOTS, STOPPED], ..PLAIN },
    Page {
        name: "docs/at-stake.md",
        before: &[
            r"printf 'version: 1\nname: in-zones\nrollout:\n  concurrency: 3\n  max_failures: 1\n  spread: {tag: zone, at_most: 2}\n  budgets: [{job: api, max_unavailable: 3}, {job: db, min_available: \x2260%%\x22}]\nsteps: [disable, deploy, reboot, wait_for_ssh, enable, deploy]\n' > in-zones.yaml",
            "sed 's/max_unavailable: 3/max_unavailable: 1/' in-zones.yaml > tight.yaml",
            // Twelve workers in three zones with both jobs, on paper.
            "maand init \"$WORK/twelve\" && cp in-zones.yaml \"$WORK/twelve\" && cd \"$WORK/twelve\"",
            r#"(printf '['; for n in 01 02 03 04 05 06 07 08 09 10 11 12; do test $n = 01 || printf ','; printf '{"host": "w%s", "labels": ["w"], "tags": {"zone": "%s"}}' $n $(echo a b c | cut -d' ' -f$((10#$n % 3 + 1))); done; printf ']') > workspace/workers.json"#,
            r#"for job in api db; do mkdir -p workspace/jobs/$job; printf '{"version": "1.0.0", "selectors": ["w"]}' > workspace/jobs/$job/manifest.json; printf 'start stop restart:\n\ttrue\n' > workspace/jobs/$job/Makefile; done"#,
            "maand plan show in-zones.yaml",
            "cd \"$BUCKET\"",
        ],
        codes: &[("maand plan check tight.yaml", 1)],
        ..PLAIN
    },
    Page { name: "docs/bundle.md", before: &[REBOOTS, STOPPED], ..PLAIN },
    Page { name: "docs/history.md", before: &[RAN], ..PLAIN },
    Page { name: "docs/install.md", ..PLAIN },
    Page { name: "docs/integrations.md", before: &[SHORT], ..PLAIN },
    Page { name: "docs/metrics.md", ..PLAIN },
    Page {
        name: "docs/pending.md",
        before: &[
            r"printf 'version: 1\nname: release\nsteps: [deploy]\n' > release.yaml",
            "echo '# changed' >> workspace/jobs/api/Makefile",
        ],
        ..PLAIN
    },
    Page {
        name: "docs/inventories.md",
        before: &[
            "cd \"$WORK\" && maand init fleet > init.txt && cd fleet",
            "cp \"$REPOSITORY/tests/data/ansible/list.json\" fleet.json",
            r"mkdir -p ~/.ssh && printf 'Host web7 db7\n' > ~/.ssh/config && chmod 600 ~/.ssh/config && export MAAND_YES=1",
            r#"(echo 'inventory_command = "cat printed"'; cat maand.conf) > conf && mv conf maand.conf && echo '[{"host": "10.9.9.9"}]' > printed"#,
        ],
        codes: &[("maand import ansible fleet.json --check", 1), ("maand import command --check", 1)],
        ..PLAIN
    },
    Page { name: "docs/proven.md", before: &[SHORT], ..PLAIN },
    Page { name: "docs/rehearsals.md", ..PLAIN },
    Page { name: "docs/report.md", before: &[RAN], ..PLAIN },
    Page {
        name: "docs/review-in-ci.md",
        before: &[
            SHORT,
            "cp monday.yaml plan.yaml && git init -q -b main && git add plan.yaml && git -c user.name=a -c user.email=a@b commit -q -m a",
            "maand plan show plan.yaml --out before.maand && maand plan show plan.yaml --out after.maand",
        ],
        ..PLAIN
    },
    Page {
        name: "docs/reviewed-plans.md",
        before: &[SHORT],
        // It was carried out once.
        codes: &[("maand plan apply monday.reviewed         # a day later", 3)],
        ..PLAIN
    },
    Page { name: "docs/scale.md", before: &["cd \"$WORK\""], ..PLAIN },
    Page { name: "docs/scripting.md", before: &[RAN], ..PLAIN },
    Page {
        name: "docs/serve-control.md",
        before: &[RAN],
        codes: &[("maand plan resume RUN", 3), ("maand plan abort RUN", 3)],
        ..PLAIN
    },
    Page { name: "docs/timeline.md", before: &["cp \"$REPOSITORY/plans/canary-by-zone.yaml\" ."], ..PLAIN },
    Page {
        name: "docs/upstream.md",
        before: &["mkdir -p \"$WORK/x\" && cd \"$WORK\" && ln -s \"$BUCKET\" your-bucket"],
        after: &[("cd your-bucket", SHORT)],
        ..PLAIN
    },
];
