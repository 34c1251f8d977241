#!/usr/bin/env bash
# Installs the tools and libraries that Dragoman is built with, on Debian 12 and its relatives.
#
#   scripts/setup.sh [--browser]      with Chromium, in which the page of `dragoman compare` is tested
#
# Uses sudo where it is not run as root. Returns at once, and asks no network, when all is there.
set -euo pipefail

tools=(g++ cmake ninja-build pkg-config ccache clang-format python3 git)
libraries=(
  libdnnl-dev libhdf5-dev libyaml-cpp-dev libsentencepiece-dev libcli11-dev libspdlog-dev libfmt-dev
  nlohmann-json3-dev libutf8proc-dev zlib1g-dev libgtest-dev libgmock-dev libbenchmark-dev
  libprotobuf-dev libabsl-dev  # what libsentencepiece-dev asks for since Debian 13, without saying so
  ocl-icd-opencl-dev  # unused, but the CMake files of libdnnl-dev ask for it
)
browser=(chromium chromium-driver python3-selenium fonts-dejavu-core)
packages=("${tools[@]}" "${libraries[@]}")

fail() {
  echo "setup.sh: $*" >&2
  exit 1
}

[[ $# -eq 0 || $* == --browser ]] || fail "usage: scripts/setup.sh [--browser]"
[[ $# -eq 0 ]] || packages+=("${browser[@]}")

if ! command -v apt-get > /dev/null || ! command -v dpkg-query > /dev/null; then
  cat >&2 << 'END'
setup.sh: this is not Debian or Ubuntu, whose packages it would install. Install in your system's
own way:
  tools      a C++20 compiler with OpenMP (GCC 12 or later), CMake 3.25, Ninja, pkg-config, Python 3;
             ccache makes builds quicker, clang-format 14 checks the format
  libraries  oneDNN, HDF5 (C), yaml-cpp, sentencepiece, CLI11, spdlog, fmt, nlohmann-json, utf8proc,
             zlib, GoogleTest with GoogleMock, Google Benchmark
Then build with: cmake --preset release && cmake --build --preset release
END
  exit 1
fi

installed=$(dpkg-query --show --showformat '${Package} ${db:Status-Status}\n' "${packages[@]}" \
  2> /dev/null || true)
missing=()
for package in "${packages[@]}"; do
  grep --quiet --line-regexp --fixed-strings "$package installed" <<< "$installed" ||
    missing+=("$package")
done
if ((${#missing[@]} == 0)); then
  echo "setup.sh: all ${#packages[@]} packages are installed"
  exit 0
fi

as_root=()
if ((EUID != 0)); then
  command -v sudo > /dev/null || fail "needs root to install ${missing[*]}: run it as root, or" \
    "ask somebody who may to run: apt-get install ${missing[*]}"
  as_root=(sudo)
fi

echo "setup.sh: installing ${missing[*]}"
# A machine that has just started may hold the package database for its own updates: wait for it.
options=(--quiet --option Acquire::Retries=3 --option DPkg::Lock::Timeout=300)
"${as_root[@]}" apt-get update "${options[@]}"
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
  apt-get install "${options[@]}" --yes --no-install-recommends "${missing[@]}" < /dev/null
echo "setup.sh: all ${#packages[@]} packages are installed"
