#!/bin/bash
# One host of the test fleet: `host.sh FOLDER`. Runs sshd as pid 1 of pid, mount and uts namespaces of
# its own, starts it again after a "reboot", and ends it with everything in it when standard input
# closes, which it does when the test ends, however it ends.
#
# In FOLDER: name, sshd_config, host_key, opt/ root/ home/ varlib/ boot/ (the host's disks), bin/ (stand-ins),
# kernel (what `uname -r` says there, if it is there), boot_id, boots (one line per boot), reboot-requests, and the faults, each a file:
#   unplugged        stays off until the file is gone
#   shutdown-secs    seconds between `reboot` and the end (default 1); sshd is up meanwhile, and
#                    /run/nologin there as systemd makes it
#   boot-secs        seconds it stays off (default 1)
#   nologin-secs     seconds after a boot in which only root may log in
#   never-back       does not come back from the next reboot
#   ignore-reboot    `reboot` answers, and nothing happens
#   new-host-key     has another host key after the next reboot
#   next-kernel      runs that kernel after the next boot
#   no-make          has no make
#   sudo             contains `password`: sudo wants one
set -u
d=$1 template=$0
exec 3<&0 </dev/null

if [ "${2:-}" = inside ]; then
  set -e
  name=$(cat "$d/name")
  hostname "$name"
  mount --bind "$d/opt" /opt
  mount --bind "$d/root" /root
  mount --bind "$d/home" /home
  mount --bind "$d/varlib" /var/lib
  mount --bind "$d/boot" /boot
  [ ! -d /usr/lib/modules ] || mount --bind "$d/modules" /usr/lib/modules
  mount -t tmpfs -o mode=755 tmpfs /run
  mkdir -p /run/sshd /run/fleet /run/etc/upper /run/etc/work
  echo "$d" >/run/fleet/folder
  # The one way to root for the stand-in of sudo; it is visible in this namespace only.
  cp "$(command -v setpriv)" /run/fleet/become
  chmod 4755 /run/fleet/become
  mount -t overlay overlay -o lowerdir=/etc,upperdir=/run/etc/upper,workdir=/run/etc/work /etc
  grep -q '^agent:' /etc/passwd || echo 'agent:x:4242:4242::/home/agent:/bin/sh' >>/etc/passwd
  grep -q '^agent:' /etc/group || echo 'agent:x:4242:' >>/etc/group
  grep -q '^agent:' /etc/shadow || echo 'agent:*:19000:0:99999:7:::' >>/etc/shadow
  mkdir -p /home/agent
  chown 4242:4242 /home/agent
  # What pam_nologin looks at; sshd without PAM looks at /etc/nologin.
  ln -sf /run/nologin /etc/nologin
  mount --bind "$d/bin" /usr/local/sbin
  [ ! -e "$d/no-make" ] || mount --bind "$d/nothing" "$(readlink -f "$(command -v make)")"
  mount --bind "$d/boot_id" /proc/sys/kernel/random/boot_id
  mount --bind "$d/uptime" /proc/uptime
  if [ -s "$d/nologin-secs" ]; then
    echo 'System is booting up. Unprivileged users are not permitted to log in yet.' >/run/nologin
    (exec 3<&-; sleep "$(cat "$d/nologin-secs")"; rm -f /run/nologin) >/dev/null 2>&1 &
  fi
  exec /usr/sbin/sshd -D -e -f "$d/sshd_config" 3<&-
fi

end() {
  touch "$d/over"
  local u
  if u=$(cat "$d/unshare.pid" 2>/dev/null) && [ -n "$u" ]; then
    kill -s KILL "$u" 2>/dev/null
    wait "$u" 2>/dev/null
  fi
  # A killed test cannot clean up; the last host takes the fleet's folder with it.
  case $d in
    /tmp/maand-fleet-*/w[0-9]*)
      rm -rf "$d"
      ls -d "${d%/*}"/w[0-9]* >/dev/null 2>&1 || rm -rf "${d%/*}"
      ;;
  esac
  exit 0
}
trap end TERM
supervisor=$$
# Ends the host when the test has gone.
(trap - TERM; cat <&3 >/dev/null; kill -s TERM "$supervisor") &
exec 3<&-

nap() { sleep "$1" & wait $!; }
while [ ! -e "$d/over" ]; do
  if [ -e "$d/unplugged" ]; then nap 0.05; continue; fi
  rm -f "$d/reboot"
  [ ! -e "$d/next-kernel" ] || mv "$d/next-kernel" "$d/kernel"
  cat /proc/sys/kernel/random/uuid >"$d/boot_id"
  # It has booted just now, whenever it is asked.
  echo "0.00 0.00" >"$d/uptime"
  : >"$d/sshd.log"
  unshare --mount --pid --uts --fork --kill-child=KILL --mount-proc --propagation private \
    bash "$template" "$d" inside </dev/null >>"$d/sshd.log" 2>&1 &
  u=$!
  echo "$u" >"$d/unshare.pid"
  echo "up $(cat "$d/boot_id")" >>"$d/boots"
  wait "$u"
  rm -f "$d/unshare.pid"
  if mv "$d/never-back" "$d/unplugged" 2>/dev/null; then continue; fi
  if [ -e "$d/new-host-key" ]; then
    rm -f "$d/new-host-key" "$d/host_key" "$d/host_key.pub"
    ssh-keygen -q -t ed25519 -N '' -C new -f "$d/host_key"
  fi
  [ ! -e "$d/reboot" ] || nap "$(cat "$d/boot-secs" 2>/dev/null || echo 1)"
done
