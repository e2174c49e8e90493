#!/bin/sh
# Stand-in for reboot(8) and shutdown(8) on a host of the test fleet: returns at once, as they do; the
# host's pid 1, and everything with it, ends some seconds later.
d=$(cat /run/fleet/folder) || exit 1
case " $* " in *" -c "*) exit 0 ;; esac
[ "$(id -u)" = 0 ] || { echo "reboot: must be superuser" >&2; exit 1; }
echo "$(basename "$0") $*" >>"$d/reboot-requests"
[ ! -e "$d/ignore-reboot" ] || exit 0
echo 'System is going down. Unprivileged users are not permitted to log in anymore.' >/run/nologin
setsid sh -c '
  sleep "$(cat "$1/shutdown-secs" 2>/dev/null || echo 1)"
  touch "$1/reboot"
  kill -s TERM 1
' reboot "$d" </dev/null >/dev/null 2>&1 &
exit 0
