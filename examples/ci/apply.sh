#!/usr/bin/env bash
# Carries a reviewed plan file out. If an earlier job was ended in the middle of it, continues that run: run the job
# again until it ends with 0. Further arguments are for `maand plan resume`, such as --retry.
#
#   apply.sh FILE [OPTION..]
set -uo pipefail
file=$1
shift

say() { echo "::$1 title=maand::$2"; }

runs=$(maand plan list --output json) || exit
run=$(jq -r 'first(.runs[] | select(.finished_at == null) | .run) // empty' <<< "$runs") || exit
if [ -z "$run" ]; then
  command=(plan apply "$file" --yes)
else
  # What was approved is this file. A run of another plan is nobody's to continue here.
  if ! maand plan diff "$run" "$file" --exit-code; then
    say error "run $run is unfinished and does something else than $file: resume or abort it first"
    exit 3
  fi
  say notice "an earlier job has begun run $run: it is continued"
  command=(plan resume "$run" --yes "$@")
fi

# A job that is cancelled hands its signal to this shell alone. After the first one maand finishes the steps that are in
# flight and starts no more.
maand "${command[@]}" &
maand=$!
trap 'kill -TERM "$maand"' INT TERM HUP
wait "$maand"
code=$?
while kill -0 "$maand" 2> /dev/null; do
  wait "$maand"
  code=$?
done
case $code in
  0) ;;
  4) say error 'another operation holds the lock: run this job again when it is over' ;;
  5) say warning 'stopped before its end: run this job again to continue' ;;
  *) say error "maand ended with exit code $code; once the cause is fixed, run this job again" ;;
esac
exit "$code"
