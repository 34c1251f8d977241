#include "train/stop_signals.h"

#include <csignal>
#include <cstdlib>

namespace dragoman {
namespace {

volatile std::sig_atomic_t stop_requested = 0;  // the signal

void reset() {
  std::signal(SIGINT, SIG_DFL);
  std::signal(SIGTERM, SIG_DFL);
}

void request_stop(int signal) {
  stop_requested = signal;
  reset();
}

}  // namespace

StopSignals::StopSignals() {
  stop_requested = 0;
  struct sigaction action = {};
  action.sa_handler = request_stop;
  action.sa_flags = SA_RESTART;  // reads and writes that were going on are not disturbed
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

StopSignals::~StopSignals() { reset(); }

bool StopSignals::requested() { return stop_requested != 0; }

void StopSignals::end_process() {
  std::raise(stop_requested);
  std::abort();  // nobody asked
}

}  // namespace dragoman
