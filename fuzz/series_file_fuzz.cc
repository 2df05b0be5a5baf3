// Opens arbitrary bytes as a series file and reads whatever it says it holds. The checksums of
// header, index and last footer are put right first, so that the fuzzer gets behind them. Inputs
// too short for a file are decoded as one column, and as timestamps, without any checksum.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "io/crc32c.h"
#include "io/file_system.h"
#include "storage/embedded/block_parity.h"
#include "storage/embedded/column_codec.h"
#include "storage/embedded/series_file.h"
#include "storage/embedded/timestamp_codec.h"

namespace {

using namespace gpu_telemetry;

// Gives out one file: copies of `bytes`, of just that size.
class OneFile final : public io::FileSystem {
 public:
  explicit OneFile(std::string_view bytes) : bytes_(bytes.begin(), bytes.end()) {}

  Result<std::unique_ptr<io::MappedFile>> map(const std::string&) override {
    std::unique_ptr<io::MappedFile> file = std::make_unique<Mapped>(bytes_);
    return file;
  }
  Result<std::unique_ptr<io::File>> open(const std::string&, io::OpenMode) override { return no(); }
  Result<void> create_directories(const std::string&) override { return no(); }
  Result<std::vector<std::string>> list(const std::string&) override { return no(); }
  Result<bool> exists(const std::string&) override { return no(); }
  Result<void> rename(const std::string&, const std::string&) override { return no(); }
  Result<void> remove(const std::string&) override { return no(); }
  Result<void> sync_directory(const std::string&) override { return no(); }
  Result<std::unique_ptr<io::FileLock>> lock(const std::string&) override { return no(); }
  Result<std::uint64_t> free_space(const std::string&) override { return no(); }

 private:
  class Mapped final : public io::MappedFile {
   public:
    explicit Mapped(const std::vector<char>& bytes) : bytes_(bytes) {}
    std::string_view bytes() const override { return {bytes_.data(), bytes_.size()}; }

   private:
    std::vector<char> bytes_;
  };
  static Error no() { return unavailable("only map() is here"); }

  std::vector<char> bytes_;
};

void put_checksum(std::string& bytes, std::size_t begin, std::size_t end, std::size_t at) {
  const std::uint32_t checksum = io::crc32c(std::string_view(bytes).substr(begin, end - begin));
  std::memcpy(bytes.data() + at, &checksum, sizeof checksum);
}

void mend(std::string& bytes) {
  constexpr std::size_t kFooter = 88;
  put_checksum(bytes, 0, 12, 12);
  const std::size_t footer = bytes.size() - kFooter;
  std::uint64_t index = 0;
  std::uint64_t size = 0;
  std::memcpy(&index, bytes.data() + footer, sizeof index);
  std::memcpy(&size, bytes.data() + footer + 8, sizeof size);
  if (index <= footer && size <= footer - index) {
    put_checksum(bytes, index, index + size, footer + 64);
  }
  put_checksum(bytes, footer, footer + 76, footer + 76);
}

constexpr std::size_t kSmallestFile = 16 + 88;

// The input as bytes and the parity of others.
void restore_part(std::string bytes) {
  using namespace gpu_telemetry::storage::embedded;
  const std::size_t size = static_cast<std::uint8_t>(bytes[0]) * std::size_t{4};
  if (bytes.size() < size + parity_size(size)) return;
  bytes.resize(size + parity_size(size));
  put_checksum(bytes, size, bytes.size() - 4, bytes.size() - 4);
  const std::string_view view(bytes);
  const auto restored = restore(view.substr(0, size), view.substr(size));
  if (restored && restored->size() != size) std::abort();
}

void decode_parts(std::string_view bytes) {
  using namespace gpu_telemetry::storage::embedded;
  if (bytes.size() < 2) return;
  const std::uint64_t count =
      1 + (static_cast<std::uint8_t>(bytes[0]) | (static_cast<std::uint8_t>(bytes[1]) & 3) << 8);
  const std::vector<char> exact(bytes.begin() + 2, bytes.end());
  const std::string_view data(exact.data(), exact.size());
  EncodedColumn column;
  if (parse_column(data, count, column).empty()) {
    std::vector<double> values(count);
    decode_values(column, 0, count, values.data());
    for (const Group& group : column.groups) (void)statistics_hold(group);
  }
  TimestampDescription description;
  description.count = count;
  description.unit = 1000;
  description.data_size = data.size();
  TimestampDecoder decoder;
  if (!data.empty() && decoder.parse(description, data).empty()) {
    std::vector<std::int64_t> times(count);
    decoder.decode({0, count}, times.data());
    (void)decoder.covering(-1'000'000, 1'000'000);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace gpu_telemetry::storage::embedded;
  std::string bytes(reinterpret_cast<const char*>(data), size);
  if (size < kSmallestFile) {
    decode_parts(bytes);
    return 0;
  }
  restore_part(bytes);
  mend(bytes);
  OneFile files(bytes);
  const auto opened = SeriesFileReader::open(files, "/fuzz");
  if (!opened) return 0;
  const SeriesFileReader& reader = **opened;
  std::vector<std::int64_t> timestamps;
  std::vector<double> values;
  std::vector<gpu_telemetry::storage::Bucket> buckets;
  std::uint64_t samples = 0;
  for (const GpuUuid& gpu : reader.gpus()) {
    for (const ColumnEntry& entry : reader.columns(gpu)) {
      // A column of constants at a regular interval may say that it is long.
      samples += entry.samples;
      if (samples > 1'000'000) return 0;
      timestamps.clear();
      values.clear();
      buckets.clear();
      (void)reader.read(entry, std::numeric_limits<std::int64_t>::min(),
                        std::numeric_limits<std::int64_t>::max(), timestamps, values);
      (void)reader.read(entry, entry.first_timestamp + 1, entry.last_timestamp - 1, timestamps,
                        values);
      for (const std::int64_t step :
           {std::int64_t{1}, std::int64_t{60'000}, std::numeric_limits<std::int64_t>::max()}) {
        (void)reader.aggregate(entry, entry.first_timestamp, entry.last_timestamp, step, buckets);
      }
    }
  }
  (void)reader.verify();
  return 0;
}
