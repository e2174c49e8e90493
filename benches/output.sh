#!/bin/bash
# What output costs the controller: a command on this machine and one on a worker that each print GIB GiB, a command
# without end that is interrupted twice, and N workers that print at once. Printed are the controller's largest
# memory, the throughput beside that of the same bytes through a pipe (or `ssh`) to `wc -c`, and how long each
# Ctrl-C took to be answered. Goals: below 100 MB, within 2 x of the pipe, within 1 s.
#
#   benches/output.sh [N, default 500] [GIB, default 4]
#
# Needs root on Linux and OpenSSH; all of it is ended when the script ends. MAAND is the program to measure.
set -eu
n=${1:-500} gib=${2:-4} port=2280
here=$(cd "$(dirname "$0")/.." && pwd)
. "$here/benches/servers.sh"
start_servers
cd "$dir/bucket"
bytes=$((gib << 30))
flood="head -c $bytes /dev/zero | tr '\\\\0' x"
now() { date +%s%N; }
since() { echo $((($(now) - $1) / 1000000)); }
ssh_to="ssh -q -i $key -p $port -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null root@127.79.0.1"

# plan NAME CONCURRENCY WORKERS STEP
plan() {
  printf 'version: 1\nname: %s\ntargets: {workers: [%s]}\nrollout: {concurrency: %s}\nsteps:\n  - %s\n    timeout: 1h\n' \
    "$1" "$3" "$2" "$4" >"$dir/$1.yaml"
}

start() {
  "$MAAND" plan apply "$dir/$1.yaml" --yes --output json >"$dir/events" 2>"$dir/errors" &
  run=$!
}

# Waits for the end, and remembers the largest memory on the way.
until_end() {
  most=0
  while kill -0 "$run" 2>/dev/null; do
    seen=$(field VmHWM 2>/dev/null || true)
    [ "${seen:-0}" -le "$most" ] || most=$seen
    sleep 0.05
  done
  code=0
  wait "$run" || code=$?
  run=
}

compare() { # NAME STEP PIPE
  began=$(now)
  [ "$(eval "$3" | wc -c)" = "$bytes" ]
  pipe=$(since "$began")
  plan "$1" 1 127.79.0.1 "$2"
  began=$(now)
  start "$1"
  until_end
  took=$(since "$began")
  [ "$code" = 0 ] || { cat "$dir/errors" >&2; exit 1; }
  printf '%s: %s GiB in %s ms, a pipe to wc -c %s ms (ratio %s), at most %s KiB\n' "$1" "$gib" "$took" "$pipe" \
    "$(awk "BEGIN { printf \"%.2f\", $took / $pipe }")" "$most"
}

interrupt() { # NAME STEP
  plan "$1" 1 127.79.0.1 "$2"
  start "$1"
  until grep -q '"attempt_started"' "$dir/events"; do sleep 0.05; done
  sleep 3
  began=$(now)
  kill -INT "$run"
  until grep -q '"run_interrupted"' "$dir/events"; do sleep 0.01; done
  first=$(since "$began")
  began=$(now)
  kill -INT "$run"
  until_end
  printf '%s: the first Ctrl-C is answered after %s ms, the second ends it after %s ms\n' "$1" "$first" "$(since "$began")"
  "$MAAND" plan abort >/dev/null 2>&1 || true
}

compare local "local: {command: \"$flood\"}" "$flood"
compare run "run: {command: \"$flood\", disturbs: false}" "$ssh_to \"$flood\""
interrupt local-without-end 'local: {command: yes}'
interrupt run-without-end 'run: {command: yes, disturbs: false}'

all=$(cd "$dir" && ls -- *.conf | sed 's/\.conf$//' | paste -sd,)
plan many "$n" "$all" 'run: {command: "head -c 2000000 /dev/zero | tr \\0 x", disturbs: false}'
began=$(now)
start many
until_end
printf '%s workers that print 2 MB each: %s ms, at most %s KiB, exit code %s\n' "$n" "$(since "$began")" "$most" "$code"
