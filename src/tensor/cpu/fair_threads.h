// How many threads to use while other programs want the same processors.
//
// The threads of an operation wait for the slowest of them. One that has lost its processor to
// another program for some milliseconds holds up a region of 20 microseconds, such as those of a
// small recurrent layer, for as long: two threads, one of which shared its processor, were a
// quarter as fast as two alone, and half as fast as one. Large regions lose less than a thread is
// worth. Hence both are tried.
#pragma once

namespace dragoman {

/// Finds the number of threads that gets the most done. While none is kept waiting it is all of
/// them; else fewer are tried, and more again from time to time, ever less often where that was in
/// vain.
class ThreadSearch {
 public:
  /// Begins with `now` threads of at most `most`.
  ThreadSearch(int most, int now) : most_(most), now_(now) {}

  struct Period {
    double seconds;
    double waited;  ///< Seconds for which threads had no processor, all together.
    double work;    ///< In any unit.
  };
  /// The number for the next period.
  int after(const Period& period);

 private:
  int most_;
  int now_;
  int before_ = 0;         // while another number is tried: the one before, else 0
  double rate_ = 0;        // its work a second
  double patience_ = 0.5;  // seconds from one try to the next
  double left_ = 0;        // of it
};

/// The seconds for which threads of this process were ready to run and had no processor, all of
/// them together; 0 where the system does not say.
double waited_for_processors();

/// Sets thread_count() so, between 1 and most_threads(), for work that comes in pieces of one kind.
/// It does so for the thread that calls it, and judges by that thread's work alone: of several that
/// translate at once each finds a number for itself, and none changes another's; where they keep
/// each other waiting, each takes the others as it takes other programs. What was found stays with
/// the thread when this is gone. Of one thread: what makes it calls it.
class FairThreads {
 public:
  FairThreads();
  /// To be called after a piece of work by the thread that launched it: so much of it was done.
  void after(double work);

 private:
  ThreadSearch search_;
  double begin_;   // of the period, in seconds
  double waited_;  // until then
  double work_ = 0;
};

}  // namespace dragoman
