// How much memory this process may use before the kernel kills it or others.
#pragma once

#include <string>

#include "domain/duration.h"

namespace gpu_telemetry::io {

// The least of the machine's memory and the limits of this process's control groups, version 1 and
// 2, and of those above them (the kernel's Documentation/admin-guide/cgroup-v2.rst, memory.max;
// cgroup-v1/memory.rst, memory.limit_in_bytes). Read now: limits can be changed while it runs. Zero
// when nothing of this can be read. `root`: the folder that has /proc and /sys.
ByteSize memory_limit(const std::string& root = "");

}  // namespace gpu_telemetry::io
