// Commits to the real file system: the log beside what the device allows at most, a loop of pwrite
// and fdatasync of the same bytes in the same folder. LOG_BENCH_DIR chooses the folder.
#include "log/segment_log.h"

#include <benchmark/benchmark.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <string>

namespace {

using namespace gpu_telemetry;

class Folder {
 public:
  Folder() {
    const char* const base = std::getenv("LOG_BENCH_DIR");
    std::string pattern =
        (base ? std::filesystem::path(base) : std::filesystem::temp_directory_path()) /
        "log_bench_XXXXXX";
    path_ = ::mkdtemp(pattern.data());
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  ~Folder() { std::filesystem::remove_all(path_); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// One log for all threads of a benchmark.
std::unique_ptr<Folder> shared_folder;
std::unique_ptr<log::SegmentLog> shared_log;

void open_log(const benchmark::State&) {
  shared_folder = std::make_unique<Folder>();
  log::SegmentLogOptions options;
  options.directory = shared_folder->path();
  shared_log = *log::SegmentLog::open(options, {});
}

void close_log(const benchmark::State&) {
  shared_log.reset();
  shared_folder.reset();
}

void count(benchmark::State& state) {
  state.SetItemsProcessed(state.iterations());
  state.SetBytesProcessed(state.iterations() * state.range(0));
}

void append_synced(benchmark::State& state) {
  const std::string payload(static_cast<std::size_t>(state.range(0)), 'x');
  for (auto _ : state) {
    if (!shared_log->append(1, payload, log::Durability::kSync))
      state.SkipWithError("append failed");
  }
  count(state);
}
BENCHMARK(append_synced)
    ->Setup(open_log)
    ->Teardown(close_log)
    ->ArgName("bytes")
    ->Arg(100)
    ->Arg(4096)
    ->Arg(65536)
    ->Threads(1)
    ->Threads(16)
    ->UseRealTime();

void append_buffered(benchmark::State& state) {
  const std::string payload(static_cast<std::size_t>(state.range(0)), 'x');
  for (auto _ : state) {
    if (!shared_log->append(1, payload, log::Durability::kBuffered)) {
      state.SkipWithError("append failed");
    }
  }
  count(state);
}
BENCHMARK(append_buffered)
    ->Setup(open_log)
    ->Teardown(close_log)
    ->ArgName("bytes")
    ->Arg(100)
    ->Arg(4096)
    ->Threads(1)
    ->UseRealTime();

// The physical limit.
void raw_write_and_sync(benchmark::State& state) {
  const Folder folder;
  const std::string payload(static_cast<std::size_t>(state.range(0)), 'x');
  const std::string_view piece = payload;
  const auto file = *io::posix_file_system().open(folder.path() + "/raw", io::OpenMode::kCreate);
  constexpr std::uint64_t kSize = 64 << 20;
  if (!file->preallocate(kSize) || !file->sync_data()) state.SkipWithError("no space");
  std::uint64_t offset = 0;
  for (auto _ : state) {
    if (!file->write_at(offset, {&piece, 1}) || !file->sync_data()) {
      state.SkipWithError("write failed");
    }
    offset += payload.size();
    if (offset + payload.size() > kSize) offset = 0;
  }
  count(state);
}
BENCHMARK(raw_write_and_sync)->ArgName("bytes")->Arg(100)->Arg(4096)->Arg(65536)->UseRealTime();

}  // namespace
