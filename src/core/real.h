// The number type of the engine, and the mark of code that runs on the host and on a device.
#pragma once

#if defined(__CUDACC__)
#define DRAGOMAN_HOST_DEVICE __host__ __device__
#else
#define DRAGOMAN_HOST_DEVICE
#endif

// Defined where kernels of a GPU are compiled: for one, or for the host that emulates it.
#if defined(__CUDACC__) || defined(DRAGOMAN_EMULATED_GPU)
#define DRAGOMAN_KERNELS
#endif

namespace dragoman {

/// float, or double in the build of the engine that the gradient tests use: there the error of a
/// finite difference falls from 1e-5 to 1e-10, so that a slip of a percent cannot hide in it.
#if defined(DRAGOMAN_DOUBLE)
using real = double;
#else
using real = float;
#endif

}  // namespace dragoman
