#!/usr/bin/env bash
# Runs a gate on a GitHub runner, and tells later steps what came of it.
#
#   BASE     a revision
#   REPORTS  folder for the reports and the raw values
#   CELLS, METRICS, FAIL_ON, ARGS  as the action's inputs; empty for what is usual
#
# All of them are words to pass on, never code: nothing is evaluated, no name is expanded.
set -euo pipefail

words=()
split() { # a text at its white space and line ends, into `words`
  words=()
  read -r -d '' -a words <<<"$1" || true
}

arguments=(
  "--base=$BASE"
  "--output=$REPORTS/raw"
  "--junit=$REPORTS/junit.xml"
  "--json=$REPORTS/gate.json"
  "--markdown=$REPORTS/gate.md"
)
[ -z "${CELLS:-}" ] || arguments+=("--cells=$CELLS")
[ -z "${METRICS:-}" ] || arguments+=("--metrics=$METRICS")
fail_on=${FAIL_ON:-}
split "${fail_on//,/ }"
for word in ${words[@]+"${words[@]}"}; do arguments+=("--fail-on=$word"); done
split "${ARGS:-}"
arguments+=(${words[@]+"${words[@]}"})

mkdir -p "$REPORTS"
code=0
cellbench gate "${arguments[@]}" || code=$?

if ! grep -qs '^verdict=' "$GITHUB_OUTPUT"; then # it ended before there was one
  case $code in
    5) verdict=nothing ;;
    6) verdict=incomparable ;;
    130) verdict=interrupted ;;
    *) verdict=error ;;
  esac
  printf 'verdict=%s\nexit-code=%s\n' "$verdict" "$code" >>"$GITHUB_OUTPUT"
fi
exit "$code"
