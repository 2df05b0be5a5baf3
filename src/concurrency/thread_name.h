// Names for threads, as `top -H`, `perf` and debuggers show them.
#pragma once

#include <pthread.h>

namespace gpu_telemetry::concurrency {

// Names the calling thread; Linux keeps 15 characters.
inline void name_this_thread(const char* name) { pthread_setname_np(pthread_self(), name); }

}  // namespace gpu_telemetry::concurrency
