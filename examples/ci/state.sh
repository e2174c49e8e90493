#!/usr/bin/env bash
# Keeps what maand knows (data/: the journal of runs, and what is deployed) from one job to the next, in the folder DIR,
# which the CI system keeps. An archive, as modes matter and caches and artifacts lose them.
#
#   state.sh restore DIR
#   state.sh save DIR
set -euo pipefail
dir=$2
case $1 in
  restore)
    [ -e "$dir/data.tar" ] || exit 0
    tar -xpf "$dir/data.tar"
    # Workers that a run has drained and not put back yet; a checkout does not know of them.
    if [ -e "$dir/disabled.json" ]; then cp "$dir/disabled.json" workspace/disabled.json; fi
    ;;
  save)
    [ -d data ] || exit 0
    mkdir -p "$dir"
    rm -f "$dir/disabled.json"
    tar -cf "$dir/data.tar.new" data
    mv "$dir/data.tar.new" "$dir/data.tar"
    unfinished=$(maand plan list --output json | jq '[.runs[] | select(.finished_at == null)] | length')
    if [ "$unfinished" -gt 0 ] && [ -e workspace/disabled.json ]; then
      cp workspace/disabled.json "$dir/disabled.json"
    fi
    ;;
  *)
    echo "state.sh: restore or save, not $1" >&2
    exit 2
    ;;
esac
