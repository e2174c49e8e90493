#!/bin/bash
# What `maand run_command true` costs on N real OpenSSH servers, against a bare libssh2 client
# (benches/bare_client.rs) and OpenSSH with `xargs -P`; also how many connections a deploy that has
# nothing to do opens. Needs root on Linux (each server has an /opt, /var/lib and empty /root of its own) and
# OpenSSH; everything is on 127.77.0.0/16 and is ended when the script ends.
#
#   benches/run_command.sh [N, default 50] [ROUNDS, default 5]      12 s, after the build
#
# All clients connect to all servers at once. Times are the best of ROUNDS, which alternate; OpenSSH is
# measured once. The servers' work is part of all of them, and on few cores most of the time. OpenSSH
# negotiates a costlier key exchange than libssh2 knows, so that ratio compares more than the clients.
set -eu
n=${1:-50} rounds=${2:-5} port=2277
here=$(cd "$(dirname "$0")/.." && pwd)
[ "$(id -u)" = 0 ] || { echo "run_command.sh: needs root" >&2; exit 1; }
[ "$n" -ge 1 ] && [ "$n" -le 5000 ] || { echo "run_command.sh: N is from 1 to 5000" >&2; exit 1; }
sshd=$(command -v sshd || echo /usr/sbin/sshd)
ulimit -n "$(ulimit -H -n)"

target=${CARGO_TARGET_DIR:-$here/target}
maand=$target/release/maand bare=$target/release/examples/bare_client
if [ -z "${SKIP_BUILD:-}" ]; then
  # The first one takes minutes, in which a silent script looks as if it hung.
  echo "building $maand and $bare (SKIP_BUILD=1 takes what is there)" >&2
  (cd "$here" && cargo build --release --bin maand --example bare_client)
fi
[ -x "$maand" ] && [ -x "$bare" ] || { echo "run_command.sh: no $maand or no $bare" >&2; exit 1; }

# Not below what a server sees its own of.
dir=$(mktemp -d /tmp/maand-bench.XXXXXX)
servers=()
clean() {
  trap - EXIT
  [ ${#servers[@]} = 0 ] || kill "${servers[@]}" 2>/dev/null || true
  wait
  rm -rf "$dir"
}
trap clean EXIT
trap 'exit 1' INT TERM HUP

ssh-keygen -q -t ed25519 -N '' -f "$dir/host_key"
"$maand" -C "$dir/bucket" init >/dev/null 2>&1 || { mkdir -p "$dir/bucket"; (cd "$dir/bucket" && "$maand" init >/dev/null); }
bucket=$dir/bucket key=$dir/bucket/secrets/worker.key
cp "$key.pub" "$dir/authorized_keys"
sed -i -e '/^ssh_user/d' -e '/^ssh_port/d' -e '/^use_sudo/d' -e '/^ssh_config/d' "$bucket/maand.conf"
sed -i "1i ssh_user = \"root\"\nssh_port = $port\nuse_sudo = false\nssh_config = false" "$bucket/maand.conf"
mkdir -p /run/sshd "$bucket/workspace/jobs/noop"
printf '{"selectors": ["worker"]}\n' >"$bucket/workspace/jobs/noop/manifest.json"
printf 'start stop restart status:\n\t@true\n' >"$bucket/workspace/jobs/noop/Makefile"

: >"$dir/hosts"
penalties=
"$sshd" -T -f /dev/null -h "$dir/host_key" 2>/dev/null | grep -qi persourcepenalties && penalties='PerSourcePenalties no'
for ((i = 0; i < n; i++)); do
  host=127.77.$((i / 250)).$((i % 250 + 1))
  echo "$host" >>"$dir/hosts"
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
LogLevel INFO
$penalties
CONF
  unshare --mount --propagation private sh -c '
    mount -t tmpfs tmpfs /opt && mount -t tmpfs tmpfs /var/lib && mount -t tmpfs tmpfs /root && exec "$@"
  ' sh "$sshd" -D -e -f "$dir/$host.conf" >"$dir/$host.log" 2>&1 &
  servers+=($!)
done
(
  echo '['
  sed -e 's/.*/{"host": "&", "labels": ["worker"]},/' -e '$s/,$//' "$dir/hosts"
  echo ']'
) >"$bucket/workspace/workers.json"
while read -r host; do
  for ((try = 0; ; try++)); do
    ! grep -q 'Server listening' "$dir/$host.log" || break
    [ "$try" -lt 300 ] || { cat "$dir/$host.log" >&2; exit 1; }
    sleep 0.1
  done
done <"$dir/hosts"
cd "$bucket"

run_maand() { "$maand" run_command true --concurrency "$n"; }
run_bare() { "$bare" "$key" root "$port" true <"$dir/hosts"; }
run_openssh() {
  xargs -P "$n" -I '{}' ssh -F none -i "$key" -o IdentitiesOnly=yes -o BatchMode=yes \
    -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR \
    -p "$port" 'root@{}' true <"$dir/hosts"
}
millis() {
  local from
  from=$(date +%s%N)
  "$@" >"$dir/out" 2>&1 || { cat "$dir/out" >&2; echo "failed: $*" >&2; return 1; }
  echo $((($(date +%s%N) - from) / 1000000))
}
# The most memory a program had resident, in KiB; in a run of its own, as looking costs time.
peak() {
  local pid most=0 now
  "$@" >/dev/null 2>&1 &
  pid=$!
  while now=$(sed -n 's/^VmHWM:[[:space:]]*\([0-9]*\).*/\1/p' "/proc/$pid/status" 2>/dev/null) && [ -n "$now" ]; do
    most=$now
    sleep 0.02
  done
  wait "$pid"
  echo "$most"
}
ratio() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.2f", a / b }'; }

printf '%s servers, %s cores, best of %s\n' "$n" "$(nproc)" "$rounds"
printf 'first contact, host keys stored:  maand %s ms\n' "$(millis run_maand)"
best_maand='' best_bare=''
for ((round = 0; round < rounds; round++)); do
  for what in bare maand; do
    now=$(millis "run_$what")
    declare -n best=best_$what
    [ -n "$best" ] && [ "$best" -le "$now" ] || best=$now
  done
done
openssh=$(millis run_openssh)
printf 'maand run_command true:           %6s ms\n' "$best_maand"
printf 'bare libssh2 client:              %6s ms   maand takes %s of it\n' "$best_bare" "$(ratio "$best_maand" "$best_bare")"
printf 'OpenSSH with xargs -P:            %6s ms   maand takes %s of it\n' "$openssh" "$(ratio "$best_maand" "$openssh")"
printf 'most memory of maand:             %6s KiB\n' "$(peak "$maand" run_command true --concurrency "$n")"

logins() { cat "$dir"/*.log | grep -c 'Accepted publickey' || true; }
"$maand" build >/dev/null 2>&1
"$maand" deploy >/dev/null 2>&1
before=$(logins)
took=$(millis "$maand" deploy)
most=$(($(logins) - before))
printf 'deploy with nothing to do:        %6s ms, %s connections to %s workers\n' "$took" "$most" "$n"
