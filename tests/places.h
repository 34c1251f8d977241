// Where tests find the project's files and the program: where they were built or, carried elsewhere
// (scripts/bundle.sh), where the environment says.
#pragma once

#include <cstdlib>
#include <string>

namespace dragoman {

inline std::string from_environment(const char* variable, const char* built) {
  const char* const given = std::getenv(variable);
  return given ? given : built;
}

/// The directory with configs/, data/ and src/.
inline std::string project_directory() {
  return from_environment("DRAGOMAN_PROJECT", DRAGOMAN_SOURCE_DIR);
}

/// The program's file.
#if defined(DRAGOMAN_BINARY)
inline std::string program() { return from_environment("DRAGOMAN_PROGRAM", DRAGOMAN_BINARY); }
#endif

}  // namespace dragoman
