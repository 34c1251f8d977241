#!/usr/bin/env bash
# Compiles Dragoman on other releases of Debian, with other compilers, and with other versions of the
# libraries whose interfaces change. Prints a table of what was compiled with what.
#
#   scripts/portability.sh [--test] [RELEASE:COMPILER | headers]...
#
#   RELEASE:COMPILER   such as trixie:clang++-19. The release is installed below build/portability,
#                      which takes about 2 GB each, and every source is compiled there, warnings being
#                      errors, but no code made.
#   --test             makes the code, too, and runs the tests of products, operations, models and files
#   headers            compiles, on this machine, what uses fmt and oneDNN with the headers of other
#                      versions, which PyPI's packages bring
#
# Without arguments it does all that can be had. Needs root, and debootstrap.
# shellcheck source=scripts/common.sh
source "$(dirname "$0")/common.sh"

readonly place=$PWD/build/portability
cases=() tests=false
for argument; do
  case $argument in
    --test) tests=true ;;
    *:*++* | headers) cases+=("$argument") ;;
    *)
      sed -n '2,/^# Without/s/^# \{0,1\}//p' "$0" >&2
      exit 2
      ;;
  esac
done
((${#cases[@]} > 0)) || cases=(bookworm:clang++-15 bookworm:clang++-16 trixie:g++-13 trixie:g++-14
  trixie:clang++-19 sid:g++ sid:clang++ headers)
mkdir -p "$place"
table=$place/table.txt
: > "$table"

# row RESULT WHAT...: a line of the table.
row() { printf '%-9s %s\n' "$1" "${*:2}" | tee -a "$table"; }

# Releases ------------------------------------------------------------------------------------------

# inside RELEASE COMMAND...: runs a command as if the release were the whole machine.
inside() {
  unshare --mount bash -c 'mount -t proc proc "$0/proc" && exec chroot "$0" "$@"' "$place/$1" \
    env DEBIAN_FRONTEND=noninteractive HOME=/root LC_ALL=C.UTF-8 "${@:2}"
}

# install RELEASE COMPILER: the release with this tree, what it is built with, and the compiler.
install() {
  local root=$place/$1 packages=("$2")
  [[ $2 != clang++* ]] || packages=("${2/++/}" "libomp${2#clang++}-dev")
  if [[ ! -e $root/dragoman ]]; then
    rm -rf "$root"
    debootstrap --variant=minbase "$1" "$root" || return
    # A mirror, or the clock here, may be behind; signatures are checked all the same.
    echo 'Acquire::Check-Valid-Until "false";' > "$root/etc/apt/apt.conf.d/90portability"
    mkdir "$root/dragoman"
  fi
  rm -rf "$root"/dragoman/{src,tests}
  git ls-files --cached --others --exclude-standard |
    tar --create --files-from - | tar --extract --directory "$root/dragoman" || return
  inside "$1" /dragoman/scripts/setup.sh &&
    inside "$1" apt-get install --quiet --yes --no-install-recommends "${packages[@]}"
}

# check_sources RELEASE TREE: compiles every source as compile_commands.json says, without making code.
check_sources() {
  inside "$1" python3 - "$2" << 'END'
import concurrent.futures, json, os, re, subprocess, sys
def check(entry):
    command = re.sub(r" -o \S+", " -fsyntax-only", entry["command"])
    done = subprocess.run(command, shell=True, cwd=entry["directory"], stderr=subprocess.PIPE, text=True)
    if done.returncode:
        print(entry["file"], done.stderr, sep="\n", flush=True)
    return done.returncode
with open(sys.argv[1] + "/compile_commands.json") as file:
    entries = json.load(file)
with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
    failed = sum(code != 0 for code in pool.map(check, entries))
print(f"{failed} of {len(entries)} sources failed")
sys.exit(failed > 0)
END
}

run_tests() {
  local programs=(op_reference numbers products models hdf5 checkpoint) program
  inside "$1" cmake --build "$2" --target "${programs[@]/%/_test}" || return
  for program in "${programs[@]}"; do
    local filter='*'
    [[ $program != op_reference ]] || filter='*_odd'
    inside "$1" "$2/tests/${program}_test" --gtest_brief=1 --gtest_filter="$filter" || return
  done
}

compile_in_release() {
  local release=$1 compiler=$2 tree=/dragoman/build/$2 log=$place/$1-$2.log result=failed libraries
  if ! install "$release" "$compiler" > "$log" 2>&1; then
    tail -3 "$log"
    row "not had" "$release, $compiler"
    return
  fi
  libraries=$(inside "$release" dpkg-query --show --showformat '${Package} ${Version}, ' \
    libhdf5-dev libfmt-dev libspdlog-dev libdnnl-dev | sed -E 's/lib([a-z0-9]+)-dev/\1/g; s/, $//')
  if inside "$release" cmake -S /dragoman -B "$tree" -G Ninja -DDRAGOMAN_CUDA=OFF \
    -DCMAKE_DISABLE_PRECOMPILE_HEADERS=ON \
    -DDRAGOMAN_WERROR=ON -DCMAKE_CXX_COMPILER="$compiler" >> "$log" 2>&1; then
    if $tests; then
      run_tests "$release" "$tree" >> "$log" 2>&1 && result=tested
    else
      check_sources "$release" "$tree" >> "$log" 2>&1 && result=compiled
    fi
  fi
  [[ $result != failed ]] || tail -30 "$log"
  row "$result" "$release: $(inside "$release" "$compiler" --version | sed 1q), $libraries"
}

# Headers -------------------------------------------------------------------------------------------

# compile_with PACKAGE VERSION HEADER SOURCES: the sources, a pattern of what they hold, with the headers
# of that package, which stand in the folder of HEADER, before the machine's.
compile_with() {
  local unpacked=$place/headers/$1-$2 header include version sources source result=compiled
  if [[ ! -e $unpacked ]]; then
    mkdir -p "$unpacked"
    (cd "$unpacked" && python3 -m pip download --quiet --no-deps "$1==$2" &&
      for archive in *.whl *.tar.gz; do [[ ! -e $archive ]] || cmake -E tar xf "$archive"; done) ||
      { row "not had" "$1 $2" && rm -r "$unpacked" && return; }
  fi
  header=$(find "$unpacked" -path "*/$3" | sed 1q)
  include=${header%/"$3"}
  # spdlog's own package has fmt inside.
  [[ $1 != spdlog ]] || { include=$unpacked/include && mkdir -p "$include" &&
    ln -sfn "$(dirname "$header")" "$include/fmt" && ln -sfn "${header%/fmt/*}" "$include/spdlog"; }
  version=$(sed -nE 's/^#define (FMT_VERSION|DNNL_VERSION_(MAJOR|MINOR)) +([0-9]+).*/\3/p' "$header" |
    paste -sd.)
  mapfile -t sources < <(grep -rlE --include='*.cpp' "$4" src | grep -vE '_cuda\.cpp$|/emulated/')
  for source in "${sources[@]}"; do
    # shellcheck disable=SC2046
    c++ -std=c++20 -march=native -fopenmp -Wall -Wextra -Werror -fsyntax-only -DSPDLOG_FMT_EXTERNAL \
      -DDRAGOMAN_VERSION='""' -isystem "$include" -Isrc $(pkg-config --cflags hdf5) "$source" || result=failed
  done
  row "$result" "${3%%/*} $version, of $1 $2: ${#sources[@]} sources, $(c++ --version | sed 1q)"
}

compile_with_headers() {
  local uses_fmt='fmt::'
  compile_with spdlog 2.0.6 fmt/bundled/core.h "$uses_fmt"
  compile_with librmm-cu12 24.12.0 fmt/base.h "$uses_fmt"
  for version in 2022.2.1 2023.0.0 2023.2.0; do
    compile_with onednn-devel-cpu-gomp "$version" oneapi/dnnl/dnnl_version.h 'dnnl\.hpp'
  done
  for version in 2024.2.1 2025.3.0 2026.1.0; do
    compile_with onednn-devel "$version" oneapi/dnnl/dnnl_version.h 'dnnl\.hpp'
  done
}

for case in "${cases[@]}"; do
  step "$case"
  if [[ $case == headers ]]; then
    compile_with_headers
  else
    ((EUID == 0)) || fail "installing a release is for root"
    command -v debootstrap > /dev/null || fail "debootstrap is missing: apt-get install debootstrap"
    compile_in_release "${case%%:*}" "${case#*:}"
  fi
done
step "Summary ($table)"
cat "$table"
! grep --quiet ^failed "$table"
