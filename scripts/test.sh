#!/usr/bin/env bash
# Sets up, builds and runs every test.
#
#   scripts/test.sh [PRESET]      release (default), debug or asan
#   scripts/test.sh avx2          tests products and operations as a processor without AVX-512 runs them
#   scripts/test.sh browser       installs Chromium (300 MB) and tests the page of a study in it
#   scripts/test.sh cuda          builds for GPUs, which needs the CUDA Toolkit, and tests that every
#                                 operation has kernels and, where there is a GPU, what they compute
#   scripts/test.sh emulated      tests operations, updates, graphs and search on a GPU that the
#                                 processor pretends to be
#
# With CI=true in the environment, warnings are errors.
# shellcheck source=scripts/common.sh
source "$(dirname "$0")/common.sh"

preset=${1:-release} setup=() targets=() tests=()
[[ $# -le 1 && $preset =~ ^(release|debug|asan|avx2|browser|cuda|emulated)$ ]] || {
  echo "usage: scripts/test.sh [release|debug|asan|avx2|browser|cuda|emulated]" >&2
  exit 2
}
case $preset in
  avx2)
    targets=(numbers_test products_test op_reference_test)
    tests=(--tests-regex '^(numbers\.|products\.|op_reference\.[a-z]*$)')
    ;;
  browser) preset=release setup=(--browser) tests=(--tests-regex '^browser$') ;;
  cuda)
    targets=(dragoman op_reference_test)
    tests=(--tests-regex '^(cuda_kernels|op_reference\.[a-z]*)$')
    ;;
  emulated)
    targets=(op_reference_test ops_test tensor_test updater_test step_graphs_test search_test)
    tests=(--tests-regex '^(op_reference\.[a-z]*$|(ops|tensor|updater|step_graphs|search)\.)')
    ;;
esac

step "Set up"
run scripts/setup.sh "${setup[@]}"
step "Build"
build "$preset" "${targets[@]}"
step "Test"
run ctest --preset "$preset" --output-on-failure --parallel 2 "${tests[@]}"
# Where the processor has AVX-512 after all, a build for AVX2 leaves products to oneDNN.
[[ $preset != avx2 ]] || run build/avx2/tests/products_test --gtest_brief=1
