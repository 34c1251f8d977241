#!/usr/bin/env bash
# From a bare machine to a translation model: sets up, builds, trains a small transformer on the
# embedded English-German corpus, translates with it and reports its BLEU.
#
#   scripts/quickstart.sh             a few minutes on 2 cores
#   scripts/quickstart.sh --short     trains for a thousand steps only and checks the BLEU, for CI
#
# Every command is shown before it is run, to be tried again with something else in its place.
# shellcheck source=scripts/common.sh
source "$(dirname "$0")/common.sh"

[[ $# == 0 || $* == --short ]] || {
  echo "usage: scripts/quickstart.sh [--short]" >&2
  exit 2
}
readonly dragoman=build/release/dragoman config=configs/quickstart.yaml corpus=data/embedded

if [[ ${1:-} == --short ]]; then
  # Limited by steps, not by minutes, so that the BLEU does not depend on the machine's speed.
  model=runs/quickstart-short
  options=(--output "$model" --set training.max_steps=1000 --set training.max_minutes=0
    --set training.validate_every=1000)
  minimum_bleu=10
  rm -rf "$model"
else
  model=runs/quickstart
  options=()
fi

step "Set up: the libraries that Dragoman stands on"
run scripts/setup.sh

step "Build: the program is $dragoman"
build release dragoman

step "Train: as $config says; the model and its logs go to $model"
[[ ! -e $model/last.h5 ]] || echo "($model is there and is continued; remove it to start anew.)"
run "$dragoman" train "$config" "${options[@]}"

step "Translate: sentences that the model has never seen"
# The first five of middling length; a tab parts the two languages.
samples=$(paste "$corpus/test.en" "$corpus/test.de" |
  awk -F '\t' '{words = split($1, unused, " ")} words >= 6 && words <= 14 && n++ < 5')
cut -f 1 <<< "$samples" > "$model/samples.en"
cut -f 2 <<< "$samples" > "$model/samples.de"
run "$dragoman" translate "$model" --input "$model/samples.en" --output "$model/samples.output.de"
paste "$model/samples.en" "$model/samples.output.de" "$model/samples.de" | awk -F '\t' '
  {printf "\n  source       %s\n  translation  %s\n  reference    %s\n", $1, $2, $3}'

step "Evaluate: BLEU on the test set"
evaluate=("$dragoman" evaluate "$model" --source "$corpus/test.en" --reference "$corpus/test.de")
if [[ ${1:-} == --short ]]; then
  run "${evaluate[@]}" --json | tee "$model/test.json"
  python3 - "$model/test.json" "$minimum_bleu" << 'END'
import json
import sys

bleu, minimum = json.load(open(sys.argv[1]))["score"], float(sys.argv[2])
if not bleu >= minimum:
    sys.exit(f"quickstart.sh: BLEU {bleu} after a short training, at least {minimum} is expected")
END
else
  run "${evaluate[@]}"
fi

step "Done in $((SECONDS / 60)) min $((SECONDS % 60)) s. What to try next:"
cat << END
  echo 'A sentence.' | $dragoman translate $model
  $dragoman inspect $model/best.h5
  $dragoman config $config
  $dragoman --help
END
