#!/usr/bin/env bash
# Prints what CHANGELOG.md says of a version: scripts/release-notes.sh X.Y.Z
set -euo pipefail
cd "$(dirname "$0")/.."
version=${1:?which version? scripts/release-notes.sh X.Y.Z}

# Its heading is `## X.Y.Z`, `## [X.Y.Z]`, or either with a date behind; its section ends with the next.
notes=$(awk -v version="$version" '
  /^## / {
    name = $2
    gsub(/^\[|\]$/, "", name)
    inside = name == version
    next
  }
  inside' CHANGELOG.md)
if [[ -z ${notes//[[:space:]]/} ]]; then
  echo "release-notes: CHANGELOG.md has nothing under '## $version'; move what is under
'## Unreleased' there before the tag v$version is made" >&2
  exit 1
fi
printf '%s\n' "$notes" | sed '/./,$!d'
