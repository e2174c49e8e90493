#!/usr/bin/env bash
# Writes review.md: what a plan would do, compared with what it would do at the commit BASE, if that has it.
# No worker is contacted, and no secret is needed.
#
#   review.sh PLAN [BASE]
set -euo pipefail
plan=$1 base=${2:-}
work=$(mktemp -d)
trap 'rm -rf "$work"; git worktree prune' EXIT

maand plan validate "$plan"
maand plan show "$plan" --out "$work/new" > "$work/new.txt"

if [ -z "$base" ] || ! git cat-file -e "$base:./$plan" 2> "$work/why"; then
  maand plan show "$plan" --format markdown > review.md
else
  # The whole commit, so that a worker that was added counts, too. The same folder inside of it is the bucket.
  git worktree add --quiet --detach "$work/base" "$base"
  if ! (cd "$work/base/$(git rev-parse --show-prefix)" && maand plan show "$plan" --out "$work/old") > "$work/old.txt"; then
    # It was not valid there: then it is compared as a text.
    git show "$base:./$plan" > "$work/old"
  fi
  git worktree remove --force "$work/base"
  maand plan diff "$work/old" "$work/new" --format markdown > review.md
fi
cat review.md >> "${GITHUB_STEP_SUMMARY:-/dev/null}"
