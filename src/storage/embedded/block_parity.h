// Bytes that restore others of which a part is damaged. docs/formats/store.md, "Parity", has them.
//
// The bytes are seen as blocks: of a 64th of them, but of 64 to 4096 bytes. There is a checksum of
// each, which tells the damaged ones, and the exclusive or of every other block, which restores
// one of those: a flipped bit anywhere, or any run that is not longer than a block.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace gpu_telemetry::storage::embedded {

std::string encode_parity(std::string_view bytes);

// Of what encode_parity() gives for as many bytes.
std::size_t parity_size(std::size_t size);

// Whether the parity itself is whole.
bool parity_holds(std::string_view parity);

// The bytes as they were; nothing when more is damaged than can be restored. `parity` has
// parity_size(bytes.size()) bytes.
std::optional<std::string> restore(std::string_view bytes, std::string_view parity);

}  // namespace gpu_telemetry::storage::embedded
