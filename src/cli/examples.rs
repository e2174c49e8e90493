//! The examples that `--help` and the manual pages show. They are checked: each is a command line that is accepted, and
//! each plan that one names is one of `plans/`.

/// What an example is for, and the command.
pub(super) type Example = (&'static str, &'static str);

/// Examples of each command, in the order of `--help`.
pub(super) const EXAMPLES: &[(&str, &[Example])] = &[
    (
        "maand",
        &[
            ("Try it without a fleet", "maand sandbox up --workers 3"),
            ("Write a plan, look at it, carry it out", "maand plan new rolling-reboot"),
            ("", "maand plan show rolling-reboot.yaml"),
            ("", "maand plan apply rolling-reboot.yaml"),
        ],
    ),
    (
        "maand init",
        &[
            ("Make a bucket in a folder", "maand init fleet"),
            ("Complete the one in this folder", "maand init"),
        ],
    ),
    ("maand build", &[("Check the workspace of a bucket", "maand build -C fleet")]),
    (
        "maand deploy",
        &[
            ("See what would be done, then do it", "maand deploy --dry-run"),
            ("", "maand deploy"),
            ("One job, on the workers with a label", "maand deploy --jobs web --workers label:api"),
        ],
    ),
    ("maand job", &[("Which allocations of a job are up", "maand job status web")]),
    ("maand job start", &[("On one worker", "maand job start web --workers 10.0.0.1")]),
    ("maand job stop", &[("On all workers of a network", "maand job stop web --workers '10.0.1.*'")]),
    ("maand job restart", &[("And wait until it is healthy", "maand job restart web --health_check")]),
    ("maand job status", &[("As JSON", "maand job status web --output json")]),
    ("maand job run", &[("`make backup` of a job", "maand job run db --target backup")]),
    (
        "maand health_check",
        &[
            ("Wait until all is well", "maand health_check --wait"),
            ("Two jobs", "maand health_check --jobs web,db"),
        ],
    ),
    (
        "maand doctor",
        &[
            ("The first look at a fleet", "maand doctor"),
            ("Some workers, for a program", "maand doctor --workers label:api --output json"),
        ],
    ),
    ("maand notify", &[("Whether all targets of the bucket can be told", "maand notify test")]),
    (
        "maand notify test",
        &[
            ("All targets of the bucket", "maand notify test"),
            ("Those of a plan, too", "maand notify test rolling-reboot.yaml"),
            ("One of them", "maand notify test rolling-reboot.yaml --target ops"),
        ],
    ),
    ("maand notify resend", &[("Of the newest run", "maand notify resend")]),
    ("maand ledger", &[("Whether runs can be kept where maand.conf says", "maand ledger check")]),
    ("maand ledger check", &[("Where the runs are, and whether all is well there", "maand ledger check")]),
    ("maand ledger migrate", &[("By a user who may make tables", "maand ledger migrate --user postgres")]),
    (
        "maand ledger copy",
        &[
            (
                "From this machine into a PostgreSQL",
                "maand ledger copy --from file --to postgres://maand@db/maand",
            ),
            ("And back", "maand ledger copy --from postgres://maand@db/maand --to file"),
        ],
    ),
    (
        "maand import",
        &[("What an inventory of Ansible would change", "maand import ansible fleet.json --check")],
    ),
    (
        "maand import ansible",
        &[
            ("What `ansible-inventory --list` has printed", "maand import ansible fleet.json"),
            ("In a pipe behind it", "maand import ansible - --yes"),
            (
                "Two groups as labels, two variables as tags",
                "maand import ansible fleet.json --groups web,db --tags zone,rack",
            ),
        ],
    ),
    (
        "maand import ssh-config",
        &[
            ("The hosts of ~/.ssh/config that are called so", "maand import ssh-config --hosts 'web*,db*'"),
            ("Also remove workers that are not there", "maand import ssh-config --remove"),
        ],
    ),
    (
        "maand import command",
        &[
            ("What the command of maand.conf prints", "maand import command"),
            ("In CI: exit code 1 where it says something else", "maand import command --check --remove"),
        ],
    ),
    ("maand info", &[("Which bucket and engine are used here", "maand info")]),
    ("maand cat", &[("Workers with labels and tags", "maand cat workers")]),
    ("maand cat workers", &[("As JSON", "maand cat workers --output json")]),
    ("maand cat jobs", &[("All jobs", "maand cat jobs")]),
    ("maand cat allocations", &[("Of one worker", "maand cat allocations --workers 10.0.0.1")]),
    ("maand cat deployments", &[("Of one job", "maand cat deployments --jobs web")]),
    (
        "maand run_command",
        &[
            ("On all workers, one after the other", "maand run_command uptime"),
            ("Ten at a time, those with a label", "maand run_command -c 10 -w label:api uptime"),
            ("The text of workspace/command.sh", "maand run_command --workers '10.0.0.1*'"),
        ],
    ),
    (
        "maand plan",
        &[
            ("From the first look to the end", "maand plan new rolling-reboot"),
            ("", "maand plan validate rolling-reboot.yaml"),
            ("", "maand plan apply rolling-reboot.yaml"),
            ("", "maand plan status --watch"),
        ],
    ),
    (
        "maand plan new",
        &[
            ("A rolling reboot", "maand plan new rolling-reboot"),
            ("Patches, and reboots where they are needed", "maand plan new kernel-patch --from kernel-patch"),
        ],
    ),
    (
        "maand plan validate",
        &[
            ("Several plans", "maand plan validate rolling-reboot.yaml kernel-patch.yaml"),
            ("In GitHub Actions", "maand plan validate rolling-reboot.yaml --annotations github"),
        ],
    ),
    (
        "maand plan show",
        &[
            ("On this bucket's workers", "maand plan show rolling-reboot.yaml"),
            ("Also who needs a reboot, and why", "maand plan show rolling-reboot.yaml --probe"),
            ("On a made-up fleet of 100", "maand plan show canary-by-zone.yaml --workers 100"),
            (
                "To be reviewed, and applied as it is",
                "maand plan show rolling-reboot.yaml --out monday.reviewed",
            ),
        ],
    ),
    (
        "maand plan diff",
        &[
            ("What one plan would do otherwise", "maand plan diff fleet-reboot.yaml rolling-reboot.yaml"),
            ("What changed since the newest run", "maand plan diff last rolling-reboot.yaml"),
            ("For a pull request", "maand plan diff - rolling-reboot.yaml --format markdown"),
        ],
    ),
    (
        "maand plan simulate",
        &[
            ("How long it takes, and what a failure does", "maand plan simulate rolling-reboot.yaml"),
            ("Every tenth step fails", "maand plan simulate kernel-patch.yaml --workers 50 --faults 10"),
            ("The expected run as a page", "maand plan simulate rolling-reboot.yaml --out forecast.html"),
        ],
    ),
    (
        "maand plan check",
        &[
            ("Whatever fails, in any order", "maand plan check rolling-reboot.yaml"),
            (
                "On a made-up fleet, with one failure",
                "maand plan check canary-by-zone.yaml --workers 12 --failures 1",
            ),
        ],
    ),
    (
        "maand plan rehearse",
        &[
            ("On three throwaway workers", "maand plan rehearse rolling-reboot.yaml"),
            (
                "The second never comes back",
                "maand plan rehearse rolling-reboot.yaml --fault 2:never_returns",
            ),
        ],
    ),
    (
        "maand plan apply",
        &[
            ("It asks before it begins", "maand plan apply rolling-reboot.yaml"),
            ("Some of the plan's workers", "maand plan apply rolling-reboot.yaml --workers '10.0.0.1*'"),
            ("What was reviewed, or nothing", "maand plan apply monday.reviewed"),
            ("In a script", "maand plan apply restart-service.yaml --set service=nginx --yes -q"),
        ],
    ),
    (
        "maand plan status",
        &[
            ("The newest run", "maand plan status"),
            ("Follow it", "maand plan status --watch"),
            ("As a picture: who did what when", "maand plan status --timeline"),
        ],
    ),
    (
        "maand plan report",
        &[
            ("The page of the newest run", "maand plan report --out run.html"),
            ("Of another one", "maand plan report 20261123-0419-4b5b --out monday.html"),
        ],
    ),
    (
        "maand plan metrics",
        &[
            ("What a Prometheus is told", "maand plan metrics"),
            ("For node_exporter", "maand plan metrics --out /var/lib/prometheus/node-exporter/maand.prom"),
        ],
    ),
    (
        "maand plan explain",
        &[
            ("Why one does not start", "maand plan explain --worker 10.0.0.3"),
            ("All with a label", "maand plan explain --worker label:api"),
        ],
    ),
    (
        "maand plan logs",
        &[
            ("What one worker's steps wrote", "maand plan logs --worker 10.0.0.1"),
            ("The last lines of what failed", "maand plan logs --failed --tail 20"),
            ("Follow one step of all", "maand plan logs --step reboot --follow"),
        ],
    ),
    ("maand plan pause", &[("With a reason", "maand plan pause --reason maintenance")]),
    (
        "maand plan resume",
        &[
            ("Continue after a Ctrl-C or a crash", "maand plan resume"),
            ("Failed workers continue at their failed steps", "maand plan resume --retry"),
            ("It was seen that the command did run", "maand plan resume --in-doubt done"),
            ("A run of another machine, which is dead", "maand plan resume --from run.bundle --take-over"),
        ],
    ),
    ("maand plan export", &[("For another machine", "maand plan export --out run.bundle")]),
    (
        "maand plan verify",
        &[
            ("A file of `plan export`", "maand plan verify run.bundle"),
            ("A run of this bucket", "maand plan verify 20261130-0512-ab12"),
        ],
    ),
    ("maand plan approve", &[("The gate of one worker", "maand plan approve --worker 10.0.0.1")]),
    ("maand plan retry", &[("After its cause was fixed", "maand plan retry --worker 10.0.0.2")]),
    ("maand plan skip", &[("Continue without it", "maand plan skip --worker 10.0.0.2")]),
    (
        "maand plan abort",
        &[("End a run for good", "maand plan abort"), ("And undo what it did", "maand plan abort --revert")],
    ),
    ("maand plan release", &[("Of a run whose bucket is lost", "maand plan release --worker 10.0.0.2")]),
    (
        "maand plan list",
        &[
            ("The newest runs", "maand plan list"),
            (
                "Those of a colleague that failed last week",
                "maand plan list --by alice --state failed --since 7d",
            ),
        ],
    ),
    (
        "maand plan history",
        &[
            ("What happened on a worker last week", "maand plan history --worker 10.0.0.1 --since 7d"),
            ("What failed on all with a label", "maand plan history --worker label:api --failed"),
        ],
    ),
    (
        "maand plan stats",
        &[
            ("How long steps take, and how often they fail", "maand plan stats"),
            ("The slowest workers of one step", "maand plan stats --plan rolling-reboot --step reboot"),
        ],
    ),
    (
        "maand plan prune",
        &[
            ("See what would go, then forget it", "maand plan prune --older-than 90d --dry-run"),
            ("", "maand plan prune --older-than 90d"),
            ("In a script", "maand plan prune --keep 50 --yes"),
        ],
    ),
    ("maand plan schema", &[("For an editor", "maand plan schema")]),
    (
        "maand serve",
        &[
            ("The runs of this bucket in a browser of this machine", "maand serve"),
            ("On a free port, for a program", "maand serve --listen 127.0.0.1:0 --output json"),
        ],
    ),
    ("maand sandbox", &[("Three throwaway workers", "maand sandbox up")]),
    (
        "maand sandbox up",
        &[
            ("Ten that boot at once", "maand sandbox up --workers 10 --speed 10"),
            ("One that refuses connections", "maand sandbox up --fault 1:refuses"),
        ],
    ),
    ("maand completions", &[("For bash", "maand completions bash")]),
    ("maand man", &[("For `man maand`", "maand man ~/.local/share/man/man1")]),
    ("maand self", &[("For a bug report", "maand self version")]),
    ("maand self version", &[("For a script", "maand self version --output json")]),
];
