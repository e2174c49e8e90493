#!/bin/bash
# How much memory `maand plan apply` needs while N workers are waited for at once (goal: 1,000 below
# 200 MB). N real OpenSSH servers on 127.79.0.0/16, each with a boot id of its own, pass the preflight; then
# all of them are ended, so that every worker is away and looked for again and again.
#
#   benches/waiting.sh [N, default 1000] [SECONDS to watch, default 20]
#
# Needs root on Linux and OpenSSH; all of it is ended when the script ends. MAAND is the program to measure.
set -eu
n=${1:-1000} seconds=${2:-20} port=2279
here=$(cd "$(dirname "$0")/.." && pwd)
. "$here/benches/servers.sh"
start_servers
cat >"$dir/bucket/plan.yaml" <<PLAN
version: 1
name: waiting
rollout: {concurrency: $n}
steps:
  - wait_for_ssh: {settle: 1h}
    timeout: 2h
PLAN
cd "$dir/bucket"
"$MAAND" plan apply plan.yaml --yes --output json >"$dir/events" 2>"$dir/errors" &
run=$!
while [ "$(grep -c '"worker_started"' "$dir/events")" -lt "$n" ]; do
  kill -0 "$run" 2>/dev/null || { cat "$dir/errors" "$dir/events" >&2; exit 1; }
  sleep 0.2
done
kill "${servers[@]}" 2>/dev/null || true
servers=()
sleep "$seconds"
resident=$(field VmRSS) most=$(field VmHWM) threads=$(field Threads)
printf '%s workers waited for: %s threads, resident %s KiB, at most so far %s KiB\n' "$n" "$threads" "$resident" "$most"
