#include "cli/machine_options.h"

#include "cli/whole_number.h"
#include "tensor/cpu/threads.h"

namespace dragoman {
namespace {

constexpr int kMostThreads = 1024;  // as training.threads

}  // namespace

void add_threads_option(CLI::App& verb) {
  verb.add_option_function<int>(
          "--threads", [](int threads) { set_thread_count(threads); },
          "Processor cores used (all if left out)")
      ->check(whole_number_from(0, kMostThreads))
      ->type_name("N");
}

void add_threads_option(CLI::App& verb, std::optional<int>& threads) {
  verb.add_option("--threads", threads,
                  "Processor cores used, 0 for all (if left out, training.threads)")
      ->check(whole_number_from(0, kMostThreads))
      ->type_name("N");
}

void add_device_option(CLI::App& verb, std::string& device, const std::string& left_out) {
  verb.add_option("--device", device,
                  "Where to compute: cpu, cuda (the first GPU), cuda:N, or auto, the first GPU if "
                  "there is one (if left out, " +
                      left_out + ")")
      ->type_name("NAME");
}

}  // namespace dragoman
