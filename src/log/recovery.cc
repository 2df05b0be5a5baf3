#include "log/recovery.h"

#include <algorithm>
#include <utility>

#include "io/bytes.h"
#include "log/segment_format.h"

namespace gpu_telemetry::log {
namespace {

using Visit = std::function<Result<void>(const Record&)>;

class Recoverer {
 public:
  Recoverer(io::FileSystem& files, std::string directory, const Visit& replay,
            RecoveryReport& report)
      : files_(files), directory_(std::move(directory)), replay_(replay), report_(report) {}

  Result<Recovery> run() {
    const auto names = files_.list(directory_);
    if (!names) return names.error();
    std::vector<std::uint64_t> numbers;
    for (const std::string& name : *names) {
      if (const auto number = segment_number(name)) numbers.push_back(*number);
    }
    std::sort(numbers.begin(), numbers.end());
    for (const std::uint64_t number : numbers) {
      recovery_.largest_number = number;
      if (auto done = recover_segment(number, number == numbers.back()); !done) {
        return done.error();
      }
    }
    return std::move(recovery_);
  }

 private:
  std::string path_of(std::uint64_t number) const {
    return directory_ + "/" + segment_name(number);
  }

  Result<void> recover_segment(std::uint64_t number, bool is_last) {
    const std::string path = path_of(number);
    auto mapped = files_.map(path);
    if (!mapped) return mapped.error();
    const std::string_view file = (*mapped)->bytes();
    SegmentScan scan = scan_segment(file);
    if (auto usable = check_header(path, file, scan, number); !usable) return usable;
    if (!scan.header_is_valid && was_never_used(file, scan)) {
      mapped->reset();
      if (auto removed = files_.remove(path); !removed) return removed;
      return files_.sync_directory(directory_);
    }

    RecoveredSegment segment;
    segment.number = number;
    segment.file_size = file.size();
    segment.generation = scan.generation;
    segment.reserved_size = scan.reserved_size;
    // Cut off at the end of its records when it was closed in good order.
    const bool was_being_written =
        is_last && scan.header_is_valid && file.size() >= scan.reserved_size;
    const std::uint64_t torn = was_being_written ? cut_torn_tail(scan) : 0;
    for (const Gap& gap : scan.gaps) {
      report_.damage.push_back(path + ": no valid record from byte " + std::to_string(gap.start) +
                               " to byte " + std::to_string(gap.end) + " (" +
                               std::to_string(gap.end - gap.start) + " bytes); they are skipped");
    }
    for (const std::uint32_t offset : scan.records) {
      ++report_.records;
      report_.bytes += io::load_fixed<std::uint32_t>(file.data() + offset + 4);
    }
    report_.torn_tail_bytes += torn;
    if (replay_) {
      if (auto visited = visit_records(number, file, scan.records, replay_); !visited) {
        return visited;
      }
    }
    segment.is_writable = is_last && scan.header_is_valid && scan.gaps.empty();
    segment.end = scan.end;
    segment.durable =
        was_being_written ? std::min<std::uint64_t>(scan.durable_below, scan.end) : scan.end;
    if (torn != 0) {
      // Zeros again, so that what was torn can never look valid behind a later record.
      const std::uint64_t reserved = scan.reserved_size;
      mapped->reset();
      if (auto cut = cut_file(path, scan.end, reserved, segment); !cut) return cut;
    }
    recovery_.segments.push_back(segment);
    return {};
  }

  // Refuses what is no segment of ours; names a header that is damaged.
  Result<void> check_header(const std::string& path, std::string_view file, const SegmentScan& scan,
                            std::uint64_t number) {
    const auto header = decode_segment_header(file);
    if (header && header->version != kSegmentVersion) {
      return corrupt(path + ": is a segment of version " + std::to_string(header->version) +
                     "; this program reads version " + std::to_string(kSegmentVersion) +
                     ": use the program that wrote it, or a newer one");
    }
    if (header && header->number == number) return {};
    if (header) {
      report_.damage.push_back(path + ": says that it is segment " +
                               std::to_string(header->number) + "; its records are used in the " +
                               "order of its name");
      return {};
    }
    if (was_never_used(file, scan)) return {};
    if (scan.records.empty() && !file.starts_with(kSegmentMagic) && !starts_with_zeros(file)) {
      return corrupt(path +
                     ": is not a segment of a log (wrong magic); move it elsewhere or use "
                     "another folder");
    }
    report_.damage.push_back(path + ": the segment's header is damaged; " +
                             std::to_string(scan.records.size()) + " records behind it are used");
    return {};
  }

  static bool starts_with_zeros(std::string_view file) {
    return file.substr(0, kSegmentHeaderSize).find_first_not_of('\0') == std::string_view::npos;
  }

  // The header is written last when a segment is created, so without it there are at most records
  // of the preamble, which say that nothing is durable before them.
  static bool was_never_used(std::string_view file, const SegmentScan& scan) {
    return file.size() < kSegmentHeaderSize || (starts_with_zeros(file) && scan.durable_below == 0);
  }

  // Of a segment that was being written: a gap before which something later says "this was durable"
  // is damage. Without such a witness it was torn, and what was written with it goes too. Returns
  // how many bytes.
  static std::uint64_t cut_torn_tail(SegmentScan& scan) {
    const auto torn = std::find_if(scan.gaps.begin(), scan.gaps.end(),
                                   [&](const Gap& gap) { return gap.start >= scan.durable_below; });
    if (torn == scan.gaps.end()) return 0;
    const std::uint64_t cut = torn->start;
    const std::uint64_t end = std::max(scan.gaps.back().end, scan.end);
    scan.records.erase(std::lower_bound(scan.records.begin(), scan.records.end(), cut),
                       scan.records.end());
    scan.gaps.erase(torn, scan.gaps.end());
    scan.end = cut;
    return end - cut;
  }

  Result<void> cut_file(const std::string& path, std::uint64_t end, std::uint64_t reserved,
                        RecoveredSegment& segment) {
    auto file = files_.open(path, io::OpenMode::kReadWrite);
    if (!file) return file.error();
    if (auto cut = (*file)->truncate(end); !cut) return cut;
    segment.file_size = end;
    // When the disk is full it stays cut, and the next append says so.
    if ((*file)->preallocate(reserved)) segment.file_size = reserved;
    return (*file)->sync_data();
  }

  io::FileSystem& files_;
  const std::string directory_;
  const Visit& replay_;
  RecoveryReport& report_;
  Recovery recovery_;
};

}  // namespace

Result<void> visit_records(std::uint64_t segment, std::string_view file,
                           const std::vector<std::uint32_t>& offsets, const Visit& visit) {
  for (const std::uint32_t offset : offsets) {
    Record record;
    record.position = {segment, offset};
    record.type = static_cast<std::uint8_t>(file[offset + 20]);
    record.payload = file.substr(offset + kRecordHeaderSize,
                                 io::load_fixed<std::uint32_t>(file.data() + offset + 4));
    if (auto visited = visit(record); !visited) return visited;
  }
  return {};
}

Result<Recovery> recover(io::FileSystem& files, const std::string& directory, const Visit& replay,
                         RecoveryReport& report) {
  return Recoverer(files, directory, replay, report).run();
}

}  // namespace gpu_telemetry::log
