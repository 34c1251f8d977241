#!/usr/bin/env bash
# Looks for mistakes with clang-tidy, as .clang-tidy says: in all sources, or in those given.
#
#   scripts/tidy.sh [FILE...]     all: some minutes, which is why it is run by hand
#
# Releases of clang-tidy disagree about what is a mistake: release 14, that of Debian 12, is the judge
# (apt-get install clang-tidy).
# shellcheck source=scripts/common.sh
source "$(dirname "$0")/common.sh"

tidy=$(command -v clang-tidy-14 || command -v clang-tidy) || fail "needs clang-tidy 14"
[[ $("$tidy" --version) == *"version 14."* ]] || fail "$tidy is not release 14"

# Without headers that GCC has compiled ahead, which clang-tidy cannot read.
run cmake --preset release -B build/tidy -DCMAKE_DISABLE_PRECOMPILE_HEADERS=ON > /dev/null
files=("$@")
# Of the files that know a GPU this build has one kind, and clang-tidy can read no other.
if ((${#files[@]} == 0)); then
  mapfile -t files < <(grep --only-matching --perl-regexp '"file": ".*/\Ksrc/[^"]*(?=")' \
    build/tidy/compile_commands.json | sort --unique)
fi
# GCC's header of OpenMP comes last, after Clang's own headers, without an attribute that Clang does
# not know. Clang has another name for GCC's shuffles of vectors; what they do is nothing to these
# checks.
openmp=$(dirname "$(g++ -print-file-name=include/omp.h)")
printf '%s\0' "${files[@]}" | xargs --null --max-args=1 --max-procs="$(nproc)" \
  "$tidy" --quiet -p build/tidy --warnings-as-errors='*' --extra-arg="-idirafter$openmp" \
  --extra-arg='-D__malloc__(...)=' --extra-arg='-D__builtin_shuffle(x, ...)=(x)' 2> /dev/null ||
  fail "clang-tidy found mistakes"
echo "${#files[@]} files have none of the mistakes that .clang-tidy names"
