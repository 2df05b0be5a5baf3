#include "storage/embedded/block_parity.h"

#include <algorithm>
#include <array>
#include <cstdint>

#include "io/bytes.h"
#include "io/crc32c.h"

namespace gpu_telemetry::storage::embedded {
namespace {

constexpr std::size_t kSmallestBlock = 64;
constexpr std::size_t kLargestBlock = 4096;
constexpr std::size_t kBlocks = 64;
// Blocks take turns, so that two neighbours, which one run of damage may touch, are in two.
constexpr std::size_t kClasses = 2;
constexpr std::size_t kChecksum = sizeof(std::uint32_t);

struct Blocks {
  explicit Blocks(std::size_t total)
      : size(std::clamp((total + kBlocks - 1) / kBlocks, kSmallestBlock, kLargestBlock)),
        count((total + size - 1) / size) {}
  std::string_view at(std::string_view all, std::size_t number) const {
    return all.substr(number * size, size);
  }

  std::size_t size;
  std::size_t count;  // the last one may be shorter
};

void add(std::string& sum, std::size_t at, std::string_view block) {
  for (std::size_t i = 0; i < block.size(); ++i) {
    sum[at + i] = static_cast<char>(sum[at + i] ^ block[i]);
  }
}

}  // namespace

std::size_t parity_size(std::size_t size) {
  const Blocks blocks(size);
  return blocks.count * kChecksum + kClasses * blocks.size + kChecksum;
}

std::string encode_parity(std::string_view bytes) {
  const Blocks blocks(bytes.size());
  std::string parity;
  std::string sums(kClasses * blocks.size, '\0');
  for (std::size_t i = 0; i < blocks.count; ++i) {
    const std::string_view block = blocks.at(bytes, i);
    io::append_fixed(parity, io::crc32c(block));
    add(sums, i % kClasses * blocks.size, block);
  }
  parity += sums;
  io::append_fixed(parity, io::crc32c(parity));
  return parity;
}

bool parity_holds(std::string_view parity) {
  const std::size_t checked = parity.size() - kChecksum;
  return io::load_fixed<std::uint32_t>(parity.data() + checked) ==
         io::crc32c(parity.substr(0, checked));
}

std::optional<std::string> restore(std::string_view bytes, std::string_view parity) {
  const Blocks blocks(bytes.size());
  const auto is_whole = [&](std::size_t number, std::string_view block) {
    return io::load_fixed<std::uint32_t>(parity.data() + number * kChecksum) == io::crc32c(block);
  };
  if (!parity_holds(parity)) return std::nullopt;
  std::array<std::optional<std::size_t>, kClasses> damaged;
  // What the sums come to without the damaged blocks: those, when all others are whole.
  std::string sums(parity.substr(blocks.count * kChecksum, kClasses * blocks.size));
  for (std::size_t i = 0; i < blocks.count; ++i) {
    const std::string_view block = blocks.at(bytes, i);
    if (is_whole(i, block)) {
      add(sums, i % kClasses * blocks.size, block);
      continue;
    }
    if (damaged[i % kClasses]) return std::nullopt;
    damaged[i % kClasses] = i;
  }
  std::string restored(bytes);
  for (std::size_t each = 0; each < kClasses; ++each) {
    if (!damaged[each]) continue;
    const std::size_t size = blocks.at(bytes, *damaged[each]).size();
    const std::string_view block = std::string_view(sums).substr(each * blocks.size, size);
    if (!is_whole(*damaged[each], block)) return std::nullopt;
    restored.replace(*damaged[each] * blocks.size, size, block);
  }
  return restored;
}

}  // namespace gpu_telemetry::storage::embedded
