# What is looked at as whoever carries scripts out there (root, or the SSH user): programs, folders, disks.
# places WORKER_DIR STATE_DIR TOOLS. Nothing is made or written; `test -w` asks the system alone.
set -f
worker=$1 state=$2 tools=$3
one() { tr "\n\r\t" "   " | head -c 600; echo; }
echo "as $(id -u)"
for tool in $tools; do
  if command -v "$tool" >/dev/null 2>&1; then echo "has $tool"; else echo "lacks $tool"; fi
done
place() {
  at=$2
  while [ ! -e "$at" ] && [ ! -L "$at" ]; do
    up=${at%/*}
    [ -n "$up" ] || up=/
    [ "$up" != "$at" ] || break
    at=$up
  done
  kind=other may=no
  if [ -d "$at" ]; then kind=folder; fi
  if [ -w "$at" ] && [ -x "$at" ]; then may=yes; fi
  printf "place %s %s %s " "$1" "$kind" "$may"
  printf "%s" "$at" | one
  disk "$1" "$at"
}
disk() {
  line=$(df -P -k "$2" 2>/dev/null | tail -n 1)
  printf "space %s " "$1"
  printf "%s" "$line" | one
  printf "inodes %s " "$1"
  df -P -i "$2" 2>/dev/null | tail -n 1 | one
  options=
  while read -r device folder kind how rest; do
    case $line in *"% $folder") options="$kind $how" ;; esac
  done </proc/self/mounts
  echo "mount $1 $options"
}
place worker "$worker"
place state "$state"
if [ -f "$state/claim" ]; then printf "claim "; one <"$state/claim"; fi
echo "seen"
