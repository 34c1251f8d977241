// How many threads the launchers use, and how they wait.
#pragma once

#include <filesystem>

namespace dragoman {

// The number is the process's: it holds for whatever thread launches an operation, each of which
// has helpers of its own. All of this may be called from any thread.

/// The number of threads that an operation uses which the calling thread launches, itself included.
/// At the start: OMP_NUM_THREADS if that is set; otherwise every processor that the process may run
/// on, or fewer where its control group is given less time.
int thread_count();
/// Sets that number for all threads, from the next operation of each on; 0 is that of the start.
/// Throws Error below 0.
void set_thread_count(int threads);
/// The number that was set, or that of the start.
int most_threads();
/// Has the calling thread alone use fewer, at least 1, until it says otherwise or somebody sets the
/// number for all. For FairThreads.
void use_threads(int threads);

/// Has threads that wait for work give their processor up soon, unless the environment says how
/// OpenMP's threads wait: where another process wants the same processors, spinning would cost both
/// most of their speed. OpenMP reads the environment before main begins, so this starts the program
/// anew, once. To be called first in main.
void wait_politely(char** arguments);

/// The processors' worth of time that control groups (version 2 and 1) grant this process, rounded
/// up; 0 where they set no limit. `root` is where they are mounted, `self` the list of the
/// process's own.
int control_group_processors(const std::filesystem::path& root = "/sys/fs/cgroup",
                             const std::filesystem::path& self = "/proc/self/cgroup");

}  // namespace dragoman
