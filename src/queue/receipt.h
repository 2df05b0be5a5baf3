// Message ids and receipts of the engines that are built on the ledger, as text.
//
// A message id is 20 characters: the ledger's epoch (8), the topic's number (3) and the message's
// sequence within the topic (9). A receipt is a message id followed by the lease's stamp (11),
// which no two deliveries share. The digits are `-0-9A-Z_a-z`, which are in ASCII order, most
// significant first: the ids of one topic sort in the order of publishing, and need no escaping in
// a URL.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace gpu_telemetry::queue {

inline constexpr std::size_t kMessageIdSize = 20;
inline constexpr std::size_t kReceiptSize = 31;

// Half of the sequences that an id can name. No ledger comes near it: one past it that is read back
// is damage, and refused so that what is published next still has a name.
inline constexpr std::uint64_t kMaxStoredSequence = std::uint64_t{1} << 53;
inline constexpr std::uint64_t kMaxEpoch = (std::uint64_t{1} << 48) - 1;

struct MessageKey {
  std::uint64_t epoch = 0;     // 48 bits
  std::uint32_t topic = 0;     // 18 bits
  std::uint64_t sequence = 0;  // 54 bits
  friend bool operator==(const MessageKey&, const MessageKey&) = default;
};

struct ParsedReceipt {
  MessageKey message;
  std::optional<std::uint64_t> stamp;  // none: a message id alone
};

std::string format_message_id(const MessageKey& key);
std::string format_receipt(const MessageKey& key, std::uint64_t stamp);
// Either of the two; nothing when the text is neither.
std::optional<ParsedReceipt> parse_receipt(std::string_view text);

// A number for a new ledger that no other ledger has (48 random bits).
std::uint64_t random_epoch();

}  // namespace gpu_telemetry::queue
