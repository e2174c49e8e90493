# Looks for the tools that a deploy needs and writes worker.json and jobs.json.
missing=
for tool in make tar; do
    command -v "$tool" >/dev/null 2>&1 || missing="$missing $tool"
done
[ -z "$missing" ] || fail 101 "not installed here:$missing"
mkdir -p "$dir/jobs" "$own/receipt" "$own/swap" "$own/tree" || fail 105 "cannot make folders in $dir"
printf '%s\n' "$MAAND_JOBS_JSON" | write "$dir/jobs.json" || fail 105 "cannot write $dir/jobs.json"
printf '%s\n' "$MAAND_WORKER_JSON" | write "$dir/worker.json" || fail 105 "cannot write $dir/worker.json"
