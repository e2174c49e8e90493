# Sourced by benchmarks: N real OpenSSH servers on 127.79.0.0/16 with a boot id of their own each, and a bucket
# that has them as workers. Needs root on Linux and OpenSSH. Expects `here`, `n` and `port`; gives `MAAND`, `dir`,
# `servers`, `run` (a program to end with the rest) and `start_servers`. All of it is ended when the script ends.
[ "$(id -u)" = 0 ] || { echo "$0: needs root" >&2; exit 1; }
[ "$n" -ge 1 ] && [ "$n" -le 5000 ] || { echo "$0: N is from 1 to 5000" >&2; exit 1; }
if [ -z "${MAAND:-}" ]; then
  echo "building maand in release (MAAND takes a program that is there)" >&2
  (cd "$here" && cargo build --release --bin maand)
  MAAND=${CARGO_TARGET_DIR:-$here/target}/release/maand
fi
dir=$(mktemp -d /tmp/maand-bench.XXXXXX)
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

start_servers() {
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
}

# A field of /proc/PID/status of the program that runs, in KiB or as a number.
field() { sed -n "s/^$1:[[:space:]]*\([0-9]*\).*/\1/p" "/proc/$run/status"; }
