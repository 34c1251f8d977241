#include "run/stop_signals.h"

#include <array>
#include <csignal>
#include <cstdlib>

namespace dragoman {
namespace {

volatile std::sig_atomic_t stop_requested = 0;  // the signal

constexpr std::array kSignals = {SIGINT, SIGTERM, SIGHUP};

bool ignored(int signal) {
  struct sigaction action = {};
  sigaction(signal, nullptr, &action);
  return action.sa_handler == SIG_IGN;
}

void reset() {
  for (const int signal : kSignals) {
    if (!ignored(signal)) std::signal(signal, SIG_DFL);
  }
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
  for (const int signal : kSignals) {
    if (!ignored(signal)) sigaction(signal, &action, nullptr);
  }
}

StopSignals::~StopSignals() { reset(); }

bool StopSignals::requested() { return stop_requested != 0; }

void StopSignals::end_process() {
  std::raise(stop_requested);
  std::abort();  // nobody asked
}

}  // namespace dragoman
