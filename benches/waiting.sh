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
[ "$(id -u)" = 0 ] || { echo "waiting.sh: needs root" >&2; exit 1; }
[ "$n" -ge 1 ] && [ "$n" -le 5000 ] || { echo "waiting.sh: N is from 1 to 5000" >&2; exit 1; }
if [ -z "${MAAND:-}" ]; then
  (cd "$here" && cargo build --release --quiet --bin maand)
  MAAND=${CARGO_TARGET_DIR:-$here/target}/release/maand
fi
dir=$(mktemp -d /tmp/maand-waiting.XXXXXX)
servers=() run=
clean() {
  trap - EXIT
  [ -z "$run" ] || kill -KILL "$run" 2>/dev/null || true
  [ ${#servers[@]} = 0 ] || kill "${servers[@]}" 2>/dev/null || true
  wait
  rm -rf "$dir"
}
trap clean EXIT
trap 'exit 1' INT TERM HUP

mkdir -p "$dir/bucket" /run/sshd
(cd "$dir/bucket" && "$MAAND" init >/dev/null 2>&1)
key=$dir/bucket/secrets/worker.key
cp "$key.pub" "$dir/authorized_keys"
sed -i -e '/^ssh_user/d' -e '/^ssh_port/d' -e '/^use_sudo/d' -e '/^ssh_config/d' "$dir/bucket/maand.conf"
sed -i "1i ssh_user = \"root\"\nssh_port = $port\nuse_sudo = false\nssh_config = false" "$dir/bucket/maand.conf"
ssh-keygen -q -t ed25519 -N '' -f "$dir/host_key"
penalties=
/usr/sbin/sshd -T -f /dev/null -h "$dir/host_key" 2>/dev/null | grep -qi persourcepenalties && penalties='PerSourcePenalties no'
for ((i = 0; i < n; i++)); do
  host=127.79.$((i / 250)).$((i % 250 + 1))
  cat /proc/sys/kernel/random/uuid >"$dir/$host.boot"
  cat >"$dir/$host.conf" <<CONF
ListenAddress $host:$port
HostKey $dir/host_key
PidFile none
AuthorizedKeysFile $dir/authorized_keys
PermitRootLogin yes
UsePAM no
UseDNS no
StrictModes no
PrintMotd no
$penalties
CONF
  unshare --mount --propagation private sh -c '
    mount -t tmpfs tmpfs /root && mount --bind "$1" /proc/sys/kernel/random/boot_id && shift && exec "$@"
  ' sh "$dir/$host.boot" /usr/sbin/sshd -D -e -f "$dir/$host.conf" >"$dir/$host.log" 2>&1 &
  servers+=($!)
  echo "{\"host\": \"$host\", \"labels\": [\"worker\"]}" >>"$dir/list"
done
{ echo '['; sed '$!s/$/,/' "$dir/list"; echo ']'; } >"$dir/bucket/workspace/workers.json"
for log in "$dir"/*.log; do
  for ((try = 0; ; try++)); do
    ! grep -q 'Server listening' "$log" || break
    [ "$try" -lt 600 ] || { cat "$log" >&2; exit 1; }
    sleep 0.1
  done
done
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
field() { sed -n "s/^$1:[[:space:]]*\([0-9]*\).*/\1/p" "/proc/$run/status"; }
resident=$(field VmRSS) most=$(field VmHWM) threads=$(field Threads)
printf '%s workers waited for: %s threads, resident %s KiB, at most so far %s KiB\n' "$n" "$threads" "$resident" "$most"
