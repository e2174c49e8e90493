#!/bin/bash
# What `maand plan apply` adds to what the hosts themselves need: N real OpenSSH hosts are rebooted one at a time, once
# by hand (ask, wait until the host has another boot id and its sshd greets, looking every 10 ms), once by a plan of
# `reboot` and `wait_for_ssh` with no settle time, and once by one that drains as well (disable, deploy, reboot, wait,
# enable, deploy, health) with a job that does nothing. Printed are all sums, the difference per worker, and how long
# after its boot each worker was noticed. Goals: at most 0.8 s and 1.2 s per worker above the hosts' own time, and noticed
# within 2 s at the default interval.
#
#   benches/overhead.sh [N, default 5]
#
# Needs root on Linux and OpenSSH. The hosts are those of the tests (tests/support/host.sh), on
# 127.78.0.0/24; all of it is ended when the script ends. MAAND is the program to measure.
set -eu
n=${1:-5} port=2278
here=$(cd "$(dirname "$0")/.." && pwd)
[ "$(id -u)" = 0 ] || { echo "overhead.sh: needs root" >&2; exit 1; }
[ "$n" -ge 1 ] && [ "$n" -le 200 ] || { echo "overhead.sh: N is from 1 to 200" >&2; exit 1; }
if [ -z "${MAAND:-}" ]; then
  echo "building maand in release (MAAND takes a program that is there)" >&2
  (cd "$here" && cargo build --release --bin maand)
  MAAND=${CARGO_TARGET_DIR:-$here/target}/release/maand
fi
# Not below what a host sees its own of.
dir=$(mktemp -d /tmp/maand-overhead.XXXXXX)
chmod 755 "$dir"
mkfifo "$dir/alive"
exec 7<>"$dir/alive"
clean() {
  trap - EXIT
  # Its end tells the hosts to end.
  exec 7>&-
  wait
  rm -rf "$dir"
}
trap clean EXIT
trap 'exit 1' INT TERM HUP

mkdir -p "$dir/bucket"
(cd "$dir/bucket" && "$MAAND" init >/dev/null 2>&1)
key=$dir/bucket/secrets/worker.key
cp "$key.pub" "$dir/authorized_keys"
sed -i -e '/^ssh_user/d' -e '/^ssh_port/d' -e '/^use_sudo/d' -e '/^ssh_config/d' "$dir/bucket/maand.conf"
sed -i "1i ssh_user = \"root\"\nssh_port = $port\nuse_sudo = false\nssh_config = false" "$dir/bucket/maand.conf"
penalties=
/usr/sbin/sshd -T -f /dev/null 2>/dev/null | grep -qi persourcepenalties && penalties='PerSourcePenalties no'
for ((i = 1; i <= n; i++)); do
  d=$dir/w$i host=127.78.0.$i
  mkdir -p "$d"/{opt,root,home,varlib,bin}
  echo "w$i" >"$d/name"
  : >"$d/nothing"
  cp "$here/tests/support/reboot.sh" "$d/bin/reboot"
  cp "$here/tests/support/reboot.sh" "$d/bin/shutdown"
  cp "$here/tests/support/sudo.sh" "$d/bin/sudo"
  chmod 755 "$d"/bin/*
  ssh-keygen -q -t ed25519 -N '' -f "$d/host_key"
  cat >"$d/sshd_config" <<CONF
ListenAddress $host:$port
HostKey $d/host_key
PidFile none
AuthorizedKeysFile $dir/authorized_keys
PermitRootLogin yes
UsePAM no
UseDNS no
StrictModes no
SetEnv PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
$penalties
CONF
  bash "$here/tests/support/host.sh" "$d" <"$dir/alive" 7>&- >"$d/log" 2>&1 &
done
greets() { local line; { exec 4<>"/dev/tcp/$1/$port"; } 2>/dev/null && read -r -t 1 line <&4 && exec 4<&- && [[ $line == SSH-* ]]; }
for ((i = 1; i <= n; i++)); do
  for ((try = 0; ; try++)); do
    ! greets "127.78.0.$i" || break
    [ "$try" -lt 300 ] || { cat "$dir/w$i"/{log,sshd.log} >&2; exit 1; }
    sleep 0.1
  done
done
(
  echo '['
  for ((i = 1; i <= n; i++)); do echo "{\"host\": \"127.78.0.$i\", \"labels\": [\"worker\"]}$([ "$i" = "$n" ] || echo ,)"; done
  echo ']'
) >"$dir/bucket/workspace/workers.json"
cat >"$dir/bucket/plan.yaml" <<'PLAN'
version: 1
name: overhead
rollout: {concurrency: 1}
steps:
  - reboot: {down_within: 60s}
  - wait_for_ssh: {settle: 0s}
PLAN
cat >"$dir/bucket/drain.yaml" <<'PLAN'
version: 1
name: drain
rollout: {concurrency: 1}
steps:
  - disable
  - {id: stop, deploy: {}}
  - reboot: {down_within: 60s}
  - wait_for_ssh: {settle: 0s}
  - enable
  - {id: start, deploy: {}}
  - health
PLAN
mkdir -p "$dir/bucket/workspace/jobs/idle"
printf '{"selectors": ["worker"], "health_check": {"checks": [{"type": "ssh", "command": "true"}]}}\n' \
  >"$dir/bucket/workspace/jobs/idle/manifest.json"
printf 'start stop restart reload status:\n\t@true\n' >"$dir/bucket/workspace/jobs/idle/Makefile"
cd "$dir/bucket"
now() { date +%s%3N; }

hand=0
for ((i = 1; i <= n; i++)); do
  host=127.78.0.$i d=$dir/w$i
  before=$(cat "$d/boot_id") from=$(now)
  ssh -F none -i "$key" -o IdentitiesOnly=yes -o BatchMode=yes -o StrictHostKeyChecking=no \
    -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR -p "$port" "root@$host" reboot >/dev/null 2>&1 || true
  while [ "$(cat "$d/boot_id")" = "$before" ] || ! greets "$host"; do sleep 0.01; done
  hand=$((hand + $(now) - from))
done

from=$(now)
"$MAAND" plan apply plan.yaml --yes --output json >"$dir/events" 2>"$dir/errors" || { cat "$dir/errors" "$dir/events" >&2; exit 1; }
run=$(($(now) - from))
latest=0
for ((i = 1; i <= n; i++)); do
  # The host counts as up from the moment when its boot began: sshd needs some of the rest.
  up=$(stat -c %.3Y "$dir/w$i/boots" | tr -d .)
  at=$(grep '"attempt_succeeded"' "$dir/events" | grep "\"127.78.0.$i\"" | grep '"wait_for_ssh"' | sed -n 's/.*"at":"\([^"]*\)".*/\1/p' | tail -1)
  noticed=$(($(date -d "$at" +%s%3N) - up))
  [ "$noticed" -le "$latest" ] || latest=$noticed
done
for command in build deploy; do
  "$MAAND" "$command" >"$dir/events" 2>&1 || { cat "$dir/events" >&2; exit 1; }
done
from=$(now)
"$MAAND" plan apply drain.yaml --yes --output json >"$dir/events" 2>"$dir/errors" || { cat "$dir/errors" "$dir/events" >&2; exit 1; }
drain=$(($(now) - from))
awk -v n="$n" -v hand="$hand" -v run="$run" -v drain="$drain" -v latest="$latest" 'BEGIN {
  printf "%d hosts, one at a time\n", n
  printf "by hand, all together:       %7.1f s\n", hand / 1000
  printf "maand plan apply:            %7.1f s   %.2f s more per worker (%.0f %%)\n", run / 1000, (run - hand) / 1000 / n, 100 * (run - hand) / hand
  printf "with disable and deploy:     %7.1f s   %.2f s more per worker (%.0f %%)\n", drain / 1000, (drain - hand) / 1000 / n, 100 * (drain - hand) / hand
  printf "back and noticed after:      %7.1f s   at most, from the begin of the boot\n", latest / 1000
  ok = (run - hand) / n <= 800 && (drain - hand) / n <= 1200
  printf "goals: overhead %s, noticed within 2 s %s\n", ok ? "met" : "NOT met", latest <= 2000 ? "met" : "NOT met"
  exit !(ok && latest <= 2000)
}'
