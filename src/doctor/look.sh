# One look at a worker: it prints what it finds, one `name value` in a line, and makes and writes nothing.
set -u
LC_ALL=C
export LC_ALL
one() { tr "\n\r\t" "   " | head -c 600; echo; }
echo "maand-doctor 1"
echo "clock $(date +%s)"
echo "who $(id -u) $(id -un)"
if [ -d "${HOME-}" ]; then
  if [ -w "$HOME" ]; then echo "home writable $HOME"; else echo "home readonly $HOME"; fi
else
  echo "home missing ${HOME-}"
fi
echo "shell ${SHELL-}"
printf "boot_id "
cat "$BOOT_ID_FILE" 2>&1 | one
echo "kernel $(uname -r)"
[ ! -e "$NOLOGIN_FILE" ] || echo "nologin $NOLOGIN_FILE"
case $STATE_DIR in /*) ;; *) STATE_DIR=${HOME-}/$STATE_DIR ;; esac
if [ "$USE_SUDO" = yes ] && [ "$(id -u)" != 0 ]; then
  {
    said=$(sudo -n -E -- sh -c "$PLACES" places "$WORKER_DIR" "$STATE_DIR" "$TOOLS" 2>&1 >&3 3>&- </dev/null)
    code=$?
  } 3>&1
  echo "sudo $code"
  printf "sudo_said "
  printf "%s" "$said" | one
  # As nobody else could look: what is installed and how full disks are is the same for all.
  [ "$code" = 0 ] || sh -c "$PLACES" places "$WORKER_DIR" "$STATE_DIR" "$TOOLS" </dev/null 2>/dev/null
else
  sh -c "$PLACES" places "$WORKER_DIR" "$STATE_DIR" "$TOOLS" </dev/null 2>/dev/null
fi
if [ "$REAL" = yes ]; then
  for file in /run/nologin /etc/nologin /var/run/nologin; do
    [ "$file" = "$NOLOGIN_FILE" ] || [ ! -e "$file" ] || echo "nologin $file"
  done
  printf "machine_id "
  head -c 64 /etc/machine-id 2>/dev/null | one
  if [ -r /run/systemd/shutdown/scheduled ]; then
    printf "scheduled "
    one </run/systemd/shutdown/scheduled
  fi
  may=no
  if [ -w /tmp ]; then may=yes; fi
  printf "tmp %s " "$may"
  df -P -k /tmp 2>/dev/null | tail -n 1 | one
fi
echo "end"
exit 0
