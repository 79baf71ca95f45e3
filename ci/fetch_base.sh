#!/usr/bin/env bash
# Sees that git knows the base of a gate, and the commit at which head left it; fetches what is
# lacking. A checkout of one commit has neither, and a gate without a base must not pass.
#
#   BASE             a revision; empty for the branch that a pull request is to be merged into
#   GITHUB_BASE_REF  that branch
#
# Leaves base=REVISION in $GITHUB_OUTPUT; ends with 5, "nothing to compare with", if there is none.
set -euo pipefail

fail() {
  local text=${1//'%'/%25}
  text=${text//$'\r'/%0D}
  printf '::error title=cellbench::%s\n' "${text//$'\n'/%0A}"
  exit 5
}

knows() { git rev-parse --verify --quiet "$1^{commit}" >/dev/null; }
meets() { git merge-base "$1" HEAD >/dev/null 2>&1; }
fetch() { git fetch --quiet --no-tags origin "$@" >/dev/null 2>&1 || true; }

base=${BASE:-}
if [ -z "$base" ]; then
  [ -n "${GITHUB_BASE_REF:-}" ] ||
    fail 'Outside of a pull request, the input "base" must name a revision to compare with.'
  base=origin/$GITHUB_BASE_REF
fi
case $base in
  -* | *[[:space:][:cntrl:]]*) fail "The input \"base\" is no revision: $base" ;;
esac
git rev-parse --git-dir >/dev/null 2>&1 ||
  fail 'There is no git repository here. Put actions/checkout with fetch-depth: 0 before this.'

if ! knows "$base"; then
  branch=${base#origin/}
  fetch "+refs/heads/$branch:refs/remotes/origin/$branch"
  knows "$base" || fetch "+refs/tags/$base:refs/tags/$base"
  knows "$base" || fetch "$base"
fi
if ! meets "$base" && [ "$(git rev-parse --is-shallow-repository)" = true ]; then
  fetch --unshallow
fi
knows "$base" ||
  fail "git knows no $base, and could not fetch it. Give actions/checkout fetch-depth: 0."
meets "$base" ||
  fail "$base and head have no commit in common here. Give actions/checkout fetch-depth: 0."
printf 'base=%s\n' "$base" >>"$GITHUB_OUTPUT"
