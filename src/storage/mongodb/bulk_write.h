// Many updates in one command.
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>

#include "storage/mongodb/connections.h"

namespace gpu_telemetry::storage::mongodb {

// {w: "majority", j: true, wtimeout: ...}, as an option named writeConcern.
class WriteConcern {
 public:
  explicit WriteConcern(std::chrono::milliseconds timeout) {
    concern_.text("w", "majority").boolean("j", true).integer("wtimeout", timeout.count());
  }
  void add_to(Document& options) const { options.document("writeConcern", concern_); }

 private:
  Document concern_;
};

// Upserts `count` documents, in no order, and returns when a majority has them in its journal.
// `fill(i, selector, update)` writes the i-th into two empty documents; it is called again for
// those that have to be repeated, because another upsert of the same `_id` came between. Errors: as
// Connection::error; any part may have been done.
using FillUpsert = std::function<Result<void>(std::size_t i, Document& selector, Document& update)>;
Result<void> upsert_all(const Connection& connection, const char* collection, std::size_t count,
                        const WriteConcern& concern, std::string_view doing,
                        const FillUpsert& fill);

// Inserts and updates by hand, in no order.
class BulkWrite {
 public:
  BulkWrite(const Connection& connection, const char* collection, const WriteConcern& concern);
  ~BulkWrite();
  BulkWrite(const BulkWrite&) = delete;
  BulkWrite& operator=(const BulkWrite&) = delete;

  // Errors: kInvalid (larger than a document may be).
  Result<void> insert(const Document& document, std::string_view doing);
  Result<void> update_one(const Document& selector, const Document& update, bool upsert,
                          std::string_view doing);

  struct Outcome {
    // Documents that an update's selector found.
    std::int64_t matched = 0;
    // Those, by their place in the order of adding, that another with their `_id` was in the way
    // of.
    std::vector<std::uint32_t> duplicates;
  };
  // Once. With an error other than duplicates, that error.
  Result<Outcome> execute(std::string_view doing);

 private:
  const Connection& connection_;
  Collection collection_;
  mongoc_bulk_operation_t* bulk_;
};

}  // namespace gpu_telemetry::storage::mongodb
