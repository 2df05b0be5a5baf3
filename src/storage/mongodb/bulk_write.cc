#include "storage/mongodb/bulk_write.h"

#include <fmt/format.h>

#include <numeric>
#include <vector>

namespace gpu_telemetry::storage::mongodb {

namespace {

// Each round at least one of those who meet has its document inserted, after which the others
// update it: two rounds end nearly every race, and a document that expires between them one more.
constexpr int kRounds = 8;

// Whether every write that failed was in the way of another with its `_id`; they go to
// `duplicates`.
bool only_duplicates(const DocumentView& reply, std::vector<std::uint32_t>& duplicates) {
  const DocumentView concern_errors = reply.document("writeConcernErrors");
  if (concern_errors.is_there()) {
    bson_iter_t first = concern_errors.begin();
    if (bson_iter_next(&first)) return false;
  }
  const DocumentView errors = reply.document("writeErrors");
  if (!errors.is_there()) return false;
  bson_iter_t error = errors.begin();
  while (bson_iter_next(&error)) {
    const DocumentView one = DocumentView::document_at(error);
    const auto code = one.integer("code");
    const auto index = one.integer("index");
    if (!code || *code != kDuplicateKey || !index || *index < 0) return false;
    duplicates.push_back(static_cast<std::uint32_t>(*index));
  }
  return !duplicates.empty();
}

}  // namespace

BulkWrite::BulkWrite(const Connection& connection, const char* collection,
                     const WriteConcern& concern)
    : connection_(connection), collection_(connection.collection(collection)) {
  Document options;
  options.boolean("ordered", false);
  concern.add_to(options);
  bulk_ = mongoc_collection_create_bulk_operation_with_opts(collection_.get(), options.get());
}

BulkWrite::~BulkWrite() { mongoc_bulk_operation_destroy(bulk_); }

Result<void> BulkWrite::insert(const Document& document, std::string_view doing) {
  bson_error_t error{};
  if (mongoc_bulk_operation_insert_with_opts(bulk_, document.get(), nullptr, &error)) return {};
  return connection_.error(doing, error);
}

Result<void> BulkWrite::update_one(const Document& selector, const Document& update, bool upsert,
                                   std::string_view doing) {
  static const Document* const kUpsert = [] {
    auto* options = new Document;
    options->boolean("upsert", true);
    return options;
  }();
  bson_error_t error{};
  if (mongoc_bulk_operation_update_one_with_opts(bulk_, selector.get(), update.get(),
                                                 upsert ? kUpsert->get() : nullptr, &error)) {
    return {};
  }
  return connection_.error(doing, error);
}

Result<BulkWrite::Outcome> BulkWrite::execute(std::string_view doing) {
  bson_error_t error{};
  bson_t reply;
  const bool done = mongoc_bulk_operation_execute(bulk_, &reply, &error) != 0;
  Outcome outcome;
  const DocumentView view(&reply);
  outcome.matched = view.integer("nMatched").value_or(0);
  const bool good = done || only_duplicates(view, outcome.duplicates);
  bson_destroy(&reply);
  if (!good) return connection_.error(doing, error);
  return outcome;
}

Result<void> upsert_all(const Connection& connection, const char* collection, std::size_t count,
                        const WriteConcern& concern, std::string_view doing,
                        const FillUpsert& fill) {
  std::vector<std::uint32_t> wanted(count);
  std::iota(wanted.begin(), wanted.end(), 0u);
  Document selector;
  Document update;
  for (int round = 0; round < kRounds && !wanted.empty(); ++round) {
    BulkWrite bulk(connection, collection, concern);
    for (const std::uint32_t i : wanted) {
      selector.clear();
      update.clear();
      const auto filled = fill(i, selector, update);
      if (!filled) return filled;
      const auto added = bulk.update_one(selector, update, true, doing);
      if (!added) return added;
    }
    const auto outcome = bulk.execute(doing);
    if (!outcome) return outcome.error();
    std::vector<std::uint32_t> again;
    for (const std::uint32_t place : outcome->duplicates) again.push_back(wanted.at(place));
    wanted = std::move(again);
  }
  if (wanted.empty()) return {};
  return unavailable(
      fmt::format("MongoDB: {}: {} documents met other upserts of their _id {} times in a row; the "
                  "same again may succeed",
                  doing, wanted.size(), kRounds));
}

}  // namespace gpu_telemetry::storage::mongodb
