#!/usr/bin/env bash
# Puts FILE into a comment at the merge request, instead of the one that was put there before.
#
#   comment-gitlab.sh FILE        with GITLAB_TOKEN, a project access token with the scope `api`
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# Nothing from the plan can write this line: all of it is escaped.
{ echo '<!-- maand: review of a plan -->'; cat "$1"; } > "$work/body"
# Not on a command line, which every process of the machine can read.
(umask 077 && printf 'header = "PRIVATE-TOKEN: %s"\n' "$GITLAB_TOKEN" > "$work/auth")
api() { curl --config "$work/auth" --fail --silent --show-error "$@"; }

notes="$CI_API_V4_URL/projects/$CI_PROJECT_ID/merge_requests/$CI_MERGE_REQUEST_IID/notes"
me=$(api "$CI_API_V4_URL/user" | jq -r .id)
ours='first(.[] | select(.author.id == $me) | select(.body | startswith("<!-- maand: review of a plan -->")) | .id) // empty'
id=$(api "$notes?per_page=100&order_by=created_at&sort=asc" | jq -r --argjson me "$me" "$ours")
if [ -n "$id" ]; then
  api --request PUT --data-urlencode "body@$work/body" "$notes/$id" > /dev/null
else
  api --request POST --data-urlencode "body@$work/body" "$notes" > /dev/null
fi
