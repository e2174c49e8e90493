#!/usr/bin/env bash
# Puts FILE into a comment at the pull request, instead of the one that was put there before.
#
#   comment-github.sh FILE        with GH_TOKEN, GITHUB_REPOSITORY and PR_NUMBER
set -euo pipefail
body=$(mktemp)
trap 'rm -f "$body"' EXIT
# Nothing from the plan can write this line: all of it is escaped.
{ echo '<!-- maand: review of a plan -->'; cat "$1"; } > "$body"

comments="repos/$GITHUB_REPOSITORY/issues/$PR_NUMBER/comments"
# Only a comment of this workflow's own user is one of ours.
ours='.[] | select(.user.login == "github-actions[bot]")
          | select(.body | startswith("<!-- maand: review of a plan -->")) | .id'
ids=$(gh api --paginate "$comments" --jq "$ours")
id=${ids%%$'\n'*}
if [ -n "$id" ]; then
  gh api --silent --method PATCH "repos/$GITHUB_REPOSITORY/issues/comments/$id" --field "body=@$body"
else
  gh api --silent --method POST "$comments" --field "body=@$body"
fi
