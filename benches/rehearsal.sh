#!/usr/bin/env bash
# Time and memory of a rehearsal: all of its processes together, the made-up fleet's included.
#
#   benches/rehearsal.sh [WORKERS [CONCURRENCY [SPEED]]]     default: 50 10 2
#
# Memory is the sum of the processes' own shares (PSS: pages that several use are counted once), looked
# at five times a second; RSS counts such pages once for each process.
set -eu
workers=${1:-50} concurrency=${2:-10} speed=${3:-2}
cd "$(dirname "$0")/.."
[ -n "${SKIP_BUILD:-}" ] || cargo build --release --quiet
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
sed "s/concurrency: 1 .*/concurrency: $concurrency/" plans/rolling-reboot.yaml >"$work/plan.yaml"

begin=$(date +%s.%N)
TMPDIR=$work "${CARGO_TARGET_DIR:-target}/release/maand" --quiet plan rehearse "$work/plan.yaml" --workers "$workers" \
    --speed "$speed" >"$work/out" 2>"$work/err" &
pid=$!

# Everything below $1, itself included.
tree() {
    printf '%s\n' "$1"
    local child
    for child in $(pgrep -P "$1" || :); do tree "$child"; done
}
# Kilobytes of a kind, of all processes in the list.
sum() {
    local kind=$1 p
    shift
    for p in "$@"; do cat "/proc/$p/smaps_rollup" 2>/dev/null || :; done | awk -v kind="$kind:" '$1 == kind { n += $2 } END { print n + 0 }'
}
pss=0 rss=0 most=0
while kill -0 "$pid" 2>/dev/null; do
    mapfile -t all < <(tree "$pid")
    now=$(sum Pss "${all[@]}")
    if [ "$now" -gt "$pss" ]; then pss=$now rss=$(sum Rss "${all[@]}"); fi
    [ "${#all[@]}" -le "$most" ] || most=${#all[@]}
    sleep 0.2
done
code=0
wait "$pid" || code=$?
end=$(date +%s.%N)

sed -n '/^Verdict/,$p' "$work/out"
cat "$work/err" >&2
awk -v b="$begin" -v e="$end" -v p="$pss" -v r="$rss" -v n="$most" -v c="$code" -v w="$workers" -v k="$concurrency" 'BEGIN {
    printf "%d workers, %d at a time: %.1f s, exit code %d; at its peak %.0f MB (RSS %.0f MB) in up to %d processes\n",
        w, k, e - b, c, p / 1024, r / 1024, n }'
exit "$code"
