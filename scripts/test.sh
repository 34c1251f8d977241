#!/usr/bin/env bash
# Sets up, builds and runs every test.
#
#   scripts/test.sh [PRESET]      release (default) or debug
#   scripts/test.sh asan          runs every operation under the sanitizers of addresses, leaks and
#                                 undefined behaviour; all tests:
#                                 cmake --build --preset asan && ctest --preset asan
#   scripts/test.sh verbs         runs every verb of the program, and what reads files, under the same
#                                 sanitizers
#   scripts/test.sh avx2          tests products and operations as a processor without AVX-512 runs them
#   scripts/test.sh browser       installs Chromium (300 MB) and tests the page of a study in it
#   scripts/test.sh cuda          builds for GPUs, which needs the CUDA Toolkit, and tests that every
#                                 operation has kernels and, where there is a GPU, what they compute
#   scripts/test.sh emulated      tests what computes on a GPU that the processor emulates, thread by
#                                 thread
#   scripts/test.sh translators   tests models, searches, translators and golden losses on that GPU,
#                                 which takes long
#   scripts/test.sh tsan          looks for threads of that GPU that race with each other
#   scripts/test.sh threads       looks for threads that share a translator or a model and race
#
# With CI=true in the environment, warnings are errors.
# shellcheck source=scripts/common.sh
source "$(dirname "$0")/common.sh"

preset=${1:-release} setup=() targets=() tests=()
all='release|debug|asan|verbs|avx2|browser|cuda|emulated|translators|tsan|threads'
[[ $# -le 1 && $preset =~ ^($all)$ ]] || {
  echo "usage: scripts/test.sh [$all]" >&2
  exit 2
}
case $preset in
  asan)
    targets=(op_reference_test)
    tests=(--tests-regex '^op_reference\.(one|odd|lengths)$')
    ;;
  verbs)
    preset=asan targets=(dragoman config_test data_test hdf5_test)
    tests=(--tests-regex '^(verbs$|config\.|data\.|hdf5\.Hdf5\.AShape)')
    ;;
  avx2)
    targets=(numbers_test products_test op_reference_test)
    tests=(--tests-regex '^(numbers\.|products\.|op_reference\.[a-z]*$)')
    ;;
  browser) preset=release setup=(--browser) tests=(--tests-regex '^browser$') ;;
  cuda)
    # All that kernels are compiled for; what stands above is the same code in every build.
    targets=(op_reference_test dragoman_decode dragoman_train)
    gpu_tests=''
    if nvidia-smi > /dev/null 2>&1; then gpu_tests='|op_reference\.[a-z]*'; fi
    tests=(--tests-regex "^(cuda_kernels$gpu_tests)\$")
    ;;
  emulated)
    programs=(emulated ops tensor attention mixed_precision updater step_graphs)
    targets=(op_reference_test "${programs[@]/%/_test}")
    tests=(--tests-regex "^(op_reference\.[a-z]*\$|($(IFS='|' && echo "${programs[*]}"))\.)")
    ;;
  translators)
    preset=emulated targets=(models_test golden_test search_test decode_test)
    tests=(--tests-regex '^(models|golden|search|decode)\.')
    ;;
  tsan) targets=(emulated_test op_reference_test attention_test) ;;
  threads) preset=tsan targets=(concurrent_test) ;;
esac

step "Set up"
run scripts/setup.sh "${setup[@]}"
step "Build"
build "$preset" "${targets[@]}"
step "Test"
if [[ $preset == tsan ]]; then
  # One of OpenMP's threads: the sanitizer does not see that they wait for one another.
  export OMP_NUM_THREADS=1
  if [[ ${targets[*]} == concurrent_test ]]; then
    run build/tsan/tests/concurrent_test --gtest_brief=1
    exit
  fi
  of_many_rows='*GivesTheGradientWhat*add_bias*cuda*_large:*GivesTheGradientWhat*norm*cuda*_large'
  # Each test is one thread of the host: two halves of them, beside each other.
  export GTEST_TOTAL_SHARDS=2 GTEST_BRIEF=1
  halves=()
  for half in 0 1; do
    {
      export GTEST_SHARD_INDEX=$half
      run build/tsan/tests/emulated_test
      run build/tsan/tests/op_reference_test --gtest_filter="*cuda*_odd:*cuda*_wide:$of_many_rows"
      run build/tsan/tests/attention_test --gtest_filter='*cuda_0_short*:*StepTest*cuda_0*'
    } &
    halves+=($!)
  done
  for half in "${halves[@]}"; do wait "$half"; done
  exit
fi
run ctest --preset "$preset" --output-on-failure --parallel 2 "${tests[@]}"
# Where the processor has AVX-512 after all, a build for AVX2 leaves products to oneDNN.
[[ $preset != avx2 ]] || run build/avx2/tests/products_test --gtest_brief=1
