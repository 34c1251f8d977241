#include "train/stop_signals.h"

#include <csignal>

namespace dragoman {
namespace {

volatile std::sig_atomic_t stop_requested = 0;

void reset() {
  std::signal(SIGINT, SIG_DFL);
  std::signal(SIGTERM, SIG_DFL);
}

void request_stop(int) {
  stop_requested = 1;
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

}  // namespace dragoman
