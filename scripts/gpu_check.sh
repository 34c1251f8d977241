#!/usr/bin/env bash
# Checks Dragoman on a GPU and measures its speed, in less than 9 minutes; from a bundle
# (scripts/bundle.sh) or where it was built.
#
#   scripts/gpu_check.sh [--cpu | --device NAME] [--data DIRECTORY] [--output DIRECTORY]
#                        [--python PYTHON] [--build DIRECTORY] [--only PARTS] [--models MODELS]
#                        [--minutes N]
#
#   --cpu               on the processor, with small models: to see that the check runs. So it does
#                       by itself where there is no GPU.
#   --device NAME       what is checked: cuda (the first GPU), cuda:1, ...; also that of a build
#                       whose GPU is pretended (--build build/emulated --only tests,parity)
#   --data DIRECTORY    Multi30k (scripts/download_multi30k.sh), to be trained on for three minutes;
#                       without, the embedded corpus is
#   --output DIRECTORY  where gpu_check.md and gpu_check.json go (.)
#   --python PYTHON     that of an environment with PyTorch, whose speed is then measured beside
#                       ($DRAGOMAN_BENCHMARK_VENV/bin/python, or python3)
#   --build DIRECTORY   what is checked (the bundle; build/cuda, or build/release with --cpu)
#   --only PARTS        of machine,tests,parity,training,decoding,speed; with commas
#   --models MODELS     of small,base,big: whose speed is measured
#   --minutes N         in all (8.8). PyTorch compiles for long, and what there is no time for is not
#                       run; a part that is alone has them all: `--only speed --minutes 40` leaves
#                       nothing out.
#
# Every part has a limit of time, and its failure does not end the others. Fails if one did.
set -euo pipefail
project=$(realpath "$(dirname "$0")/..")

fail() {
  echo "gpu_check.sh: $*" >&2
  exit 2
}

device='' data='' output=. build='' minutes=8.8 more=()
python=${DRAGOMAN_BENCHMARK_VENV:+$DRAGOMAN_BENCHMARK_VENV/bin/}python3
while (($# > 0)); do
  case $1 in
    --cpu) device=cpu && shift && continue ;;
    --device | --data | --output | --python | --build | --only | --models | --minutes) ;;
    *)
      sed -n '2,/^# Every/s/^# \{0,1\}//p' "$0" >&2
      exit 2
      ;;
  esac
  (($# > 1)) || fail "$1 wants a value"
  case $1 in
    --only | --models) more+=("$1" "$2") ;;
    *) declare "${1#--}=$2" ;;
  esac
  shift 2
done

if [[ -z $device ]]; then
  device=cuda
  if ! nvidia-smi -L > /dev/null 2>&1; then
    echo "gpu_check.sh: nvidia-smi shows no GPU; what needs none is run" >&2
    device=cpu
  fi
fi
if [[ -z $build ]]; then
  build=$project
  [[ -d $project/bin ]] || build=$project/build/$([[ $device == cpu ]] && echo release || echo cuda)
fi
build=$(realpath "$build")
program=$build/dragoman
[[ -x $program ]] || program=$build/bin/dragoman
[[ -x $program ]] || fail "$build has no program; build it (cmake --preset cuda) or a bundle (scripts/bundle.sh)"
python=$(command -v "$python") || fail "needs Python 3 ($python); --python names another"
python=$(realpath --no-symlinks "$python")  # an environment's is a link
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' || fail "needs Python 3.10 or later, not $python"

# cuBLASLt is large, and left to the machine: its CUDA Toolkit or the packages that PyTorch came with.
missing=$(ldd "$program" | awk '/libcublasLt.*not found/ {print $1}')
if [[ -n $missing ]]; then
  packages=$("$python" -c 'import site; print(*site.getsitepackages(), site.getusersitepackages())')
  # shellcheck disable=SC2086
  found=$(find -L /usr/local/cuda* /usr/lib /opt $packages -name "$missing" -print -quit 2> /dev/null || true)
  [[ -n $found ]] || fail "$missing is neither in a CUDA Toolkit nor in Python's packages:" \
    "install one of them (pip install nvidia-cublas), or take a bundle that was made --with-cublas"
  DRAGOMAN_LIBRARIES=$(dirname "$found")
  export DRAGOMAN_LIBRARIES
fi
LD_LIBRARY_PATH=${DRAGOMAN_LIBRARIES-${LD_LIBRARY_PATH-}} "$program" --version > /dev/null ||
  fail "$program does not start"

exec "$python" "$project/scripts/gpu_check/check.py" --project "$project" --build "$build" \
  --device "$device" --python "$python" ${data:+--data "$data"} --output "$output" \
  --minutes "$minutes" "${more[@]}"
