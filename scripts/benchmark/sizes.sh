#!/usr/bin/env bash
# Prints the speed of training against the size of a batch and the length of its sentences.
#
#   scripts/benchmark/sizes.sh CONFIG [--set key=value]...
#
# Sentences are random pieces of one length on both sides; a batch of 2000 tokens in sentences of 2048
# is one sentence of 2049.
# shellcheck source=scripts/common.sh
source "$(dirname "$0")/../common.sh"

[[ $# -ge 1 && -f $1 ]] || {
  echo "usage: scripts/benchmark/sizes.sh CONFIG [--set key=value]..." >&2
  exit 2
}
readonly dragoman=build/release/dragoman
build release dragoman >&2

# speed TOKENS LENGTH PRECISION ARGUMENTS...
speed() {
  local tokens=$1 length=$2 precision=$3
  shift 3
  "$dragoman" bench train "$@" --length "$length" --steps 4 --passes 3 --json \
    --set training.batch_tokens="$tokens" --set training.precision="$precision" |
    python3 -c 'import json, sys; r = json.load(sys.stdin)
print("%.0f (%.2f)" % (r["target_tokens_per_second"], r["ceiling_fraction"]))'
}

# table TITLE ARGUMENTS...: reads lines "LABEL TOKENS LENGTH".
table() {
  printf '\n| %s | fp32 | bf16 |\n|---|---|---|\n' "$1"
  shift
  while read -r label tokens length; do
    printf '| %s | %s | %s |\n' "$label" "$(speed "$tokens" "$length" fp32 "$@" < /dev/null)" \
      "$(speed "$tokens" "$length" bf16 "$@" < /dev/null)"
  done
}

echo "$1: target tokens/s (of the ceiling)"
for tokens in 250 500 1000 2000 4000 8000; do echo "$tokens $tokens 15"; done |
  table "tokens a batch, in sentences of 16" "$@"
for length in 16 32 64 128 256 512 1024 2048; do echo "$length 2000 $((length - 1))"; done |
  table "tokens a sentence, about 2000 a batch" "$@"
