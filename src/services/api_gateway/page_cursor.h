// Where the next page of an answer begins. It holds the last key and a hash of the question, and no
// state of any server, so that every replica can go on with it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "domain/result.h"
#include "storage/telemetry_repository.h"

namespace gpu_telemetry::services {

// FNV-1a over the parts of a question, each ended so that no two questions run together.
class QuestionHash {
 public:
  void add(std::string_view part);
  std::uint64_t value() const { return hash_; }

 private:
  std::uint64_t hash_ = 0xCBF29CE484222325ULL;
};

// Hexadecimal: a version byte, the hash, then the key: the time and the metric's name.
std::string encode_cursor(std::uint64_t question, const storage::SampleKey& last);

// Errors: kInvalid for what encode_cursor did not make, and for a cursor of another question.
Result<storage::SampleKey> decode_cursor(std::string_view text, std::uint64_t question);

// The same of a page of GPUs.
std::string encode_gpu_cursor(std::uint64_t question, const GpuUuid& last);
Result<GpuUuid> decode_gpu_cursor(std::string_view text, std::uint64_t question);

}  // namespace gpu_telemetry::services
