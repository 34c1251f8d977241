#!/usr/bin/env bash
# Downloads Multi30k (Elliott et al. 2016, 2017): image descriptions in English, German and French.
#
#   scripts/download_multi30k.sh [DIRECTORY]      default: data/multi30k, where the configurations look
#
# Fetches train, val and test_2016_flickr as gzip files of raw text and checks their line counts. Files
# that are there and whole are kept. MULTI30K_URL names another place to fetch them from.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
directory=${1:-$root/data/multi30k}
url=${MULTI30K_URL:-https://raw.githubusercontent.com/multi30k/dataset/master/data/task1/raw}

fail() {
  echo "download_multi30k.sh: $*" >&2
  exit 1
}

if command -v curl > /dev/null; then
  fetch() { curl --fail --silent --show-error --location --retry 3 --output "$2" "$1"; }
elif command -v wget > /dev/null; then
  fetch() { wget --quiet --tries=3 --output-document="$2" "$1"; }
else
  fail "needs curl or wget; install one of them (apt-get install curl)"
fi

# The number of lines of a gzip file, as far as it is whole.
lines_of() { { gzip -dc "$1" || true; } 2> /dev/null | wc -l; }

# Fetches one file unless it is there, and checks that it has the given number of lines.
get() {
  local name=$1 expected=$2 file=$directory/$1
  [[ -f $file && $(lines_of "$file") == "$expected" ]] && return
  fetch "$url/$name" "$file.part" || fail "could not fetch $url/$name"
  local lines
  lines=$(lines_of "$file.part")
  [[ $lines == "$expected" ]] ||
    fail "$url/$name is damaged or of another release: $lines lines instead of $expected"
  mv "$file.part" "$file"
  echo "$file: $lines lines"
}

mkdir -p "$directory"
trap 'rm -f "$directory"/*.part' EXIT
for language in en de fr; do
  get "train.$language.gz" 29000
  get "val.$language.gz" 1014
  get "test_2016_flickr.$language.gz" 1000
done
echo "Multi30k is complete in $directory"
