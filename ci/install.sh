#!/usr/bin/env bash
# Installs cellbench.
#
#   INSTALL             what pip installs, words separated by spaces; empty for this very version
#   GITHUB_ACTION_PATH  where this version lies
set -euo pipefail

words=()
read -r -d '' -a words <<<"${INSTALL:-}" || true
[ "${#words[@]}" -gt 0 ] || words=("$GITHUB_ACTION_PATH")
python -m pip install --quiet --disable-pip-version-check "${words[@]}"
cellbench --version
