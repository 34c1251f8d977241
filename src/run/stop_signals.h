// SIGINT, SIGTERM and SIGHUP (the terminal is gone): a wish to stop soon, not at once.
#pragma once

namespace dragoman {

/// While one lives, the first of them only makes `requested` true, and the second ends
/// the process. There may be one at a time. A signal that was ignored, as nohup has it, still is.
class StopSignals {
 public:
  StopSignals();
  ~StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;

  static bool requested();
  /// Ends the process by the signal that came, so that whoever started it learns of it: a script
  /// does not go on as if all had been done. For when what was to be saved is, and none lives.
  [[noreturn]] static void end_process();
};

}  // namespace dragoman
