#!/usr/bin/env bash
# Builds Dragoman for GPUs and packs it with what a machine without development packages lacks.
#
#   scripts/bundle.sh [--output PATH] [--architectures LIST] [--with-cublas]
#
#   --output PATH           a directory, or an archive: .tar.zst, .tar.xz, .tar.gz
#                           (build/dragoman-gpu.tar.zst)
#   --architectures LIST    of GPUs, as CMake takes them, for example "80-real;90" (90: H100 and H200,
#                           with code that drivers compile for later ones)
#   --with-cublas           with libcublasLt, which is some 500 MB. Without, it is that of the
#                           machine's CUDA Toolkit or PyTorch, which scripts/gpu_check.sh finds.
#
# There, unpack it and run dragoman-gpu/scripts/gpu_check.sh. The machine needs a GPU's driver, a C
# library not older than this machine's, and Python 3.10 or later for gpu_check.sh.
# shellcheck source=scripts/common.sh
source "$(dirname "$0")/common.sh"

output=build/dragoman-gpu.tar.zst architectures=90 with_cublas=false
while (($# > 0)); do
  case $1 in
    --output) output=${2:?"--output wants a path"} && shift 2 ;;
    --architectures) architectures=${2:?"--architectures wants a list"} && shift 2 ;;
    --with-cublas) with_cublas=true && shift ;;
    *)
      sed -n '2,/^# library not/s/^# \{0,1\}//p' "$0" >&2
      exit 2
      ;;
  esac
done
readonly tree=build/bundle

step "Build"
run cmake --preset bundle -DDRAGOMAN_WERROR=ON -DCMAKE_CUDA_ARCHITECTURES="$architectures"
run cmake --build --preset bundle --target bundle

step "Gather"
if [[ $output == *.tar.* ]]; then
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  bundle=$work/$(basename "${output%%.tar.*}")
else
  bundle=$output
  [[ ! -e $bundle ]] || fail "$bundle is there already"
fi
run cmake --install "$tree" --component bundle --prefix "$bundle" --strip > /dev/null
mkdir -p "$bundle/scripts" "$bundle/data"
cp -r configs docs LICENSE README.md "$bundle"
cp -r data/embedded "$bundle/data"
cp -r scripts/common.sh scripts/gpu_check.sh scripts/gpu_check "$bundle/scripts"
mkdir "$bundle/scripts/benchmark"
cp scripts/benchmark/pytorch_training.py "$bundle/scripts/benchmark"
find "$bundle" -name __pycache__ -prune -exec rm -r {} +
if $with_cublas; then
  cublas=$(ldd "$tree/dragoman" | awk '$1 ~ /^libcublasLt/ {print $3}')
  [[ -e $cublas ]] || fail "libcublasLt was not found"
  cp -L "$cublas" "$bundle/lib/"
fi

step "Check that it stands by itself"
# Every library must be in the bundle, except those of any machine.
strays=$(find "$bundle/bin" -type f -exec env -i /usr/bin/ldd {} + |
  awk -v here="$(realpath "$bundle")/" '
    / => / && index($3, here) != 1 &&
      $1 !~ /^lib(c|m|mvec|pthread|dl|rt|resolv|util)\.so|^ld-linux|^libcublasLt\.so/ {print $1, $3}' |
  sort -u)
[[ -z $strays ]] || fail "these libraries would be taken from elsewhere: $strays"
newest=$(find "$bundle/bin" "$bundle/lib" -type f -exec objdump -T {} + 2> /dev/null |
  grep -o 'GLIBC_[0-9.]*' | sort -uV | tail -1)
echo "$(find "$bundle/lib" -type f | wc -l) libraries, $(find "$bundle/bin" -type f | wc -l) programs," \
  "$(du -sm "$bundle" | cut -f 1) MiB; it wants a C library with ${newest/GLIBC_/GLIBC }"

if [[ $output == *.tar.* ]]; then
  step "Pack"
  case $output in
    # A window as large as the programs, which are much alike.
    *.zst) packer="zstd -15 --long=27 -T0" ;;
    *.xz) packer="xz -T0" ;;
    *.gz) packer=gzip ;;
    *) fail "$output: no such archive; .tar.zst, .tar.xz or .tar.gz" ;;
  esac
  mkdir -p "$(dirname "$output")"
  run tar --create --file "$output" --use-compress-program "$packer" --directory "$work" \
    "$(basename "$bundle")"
fi
echo "$output: $(du -sm "$output" | cut -f 1) MiB"
