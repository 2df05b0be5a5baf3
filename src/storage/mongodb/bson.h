// BSON documents: written piece by piece, read by name.
#pragma once

#include <bson/bson.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "domain/time.h"

namespace gpu_telemetry::storage::mongodb {

// A document that is being written. Names are at most some hundred bytes. What does not fit into a
// document (2 GiB) leaves it not ok().
class Document {
 public:
  Document() : bson_(bson_new()) {}
  ~Document() { bson_destroy(bson_); }
  Document(Document&& other) noexcept : bson_(other.bson_), ok_(other.ok_) {
    other.bson_ = bson_new();
  }
  Document(const Document&) = delete;
  Document& operator=(const Document&) = delete;
  Document& operator=(Document&&) = delete;

  // `value` is UTF-8 (valid_utf8).
  Document& text(std::string_view name, std::string_view value) {
    ok_ &= bson_append_utf8(bson_, name.data(), size(name), value.data(), size(value));
    return *this;
  }
  Document& number(std::string_view name, double value) {
    ok_ &= bson_append_double(bson_, name.data(), size(name), value);
    return *this;
  }
  Document& integer(std::string_view name, std::int64_t value) {
    ok_ &= bson_append_int64(bson_, name.data(), size(name), value);
    return *this;
  }
  Document& boolean(std::string_view name, bool value) {
    ok_ &= bson_append_bool(bson_, name.data(), size(name), value);
    return *this;
  }
  Document& null(std::string_view name) {
    ok_ &= bson_append_null(bson_, name.data(), size(name));
    return *this;
  }
  Document& date(std::string_view name, Timestamp value) {
    ok_ &= bson_append_date_time(bson_, name.data(), size(name), unix_milliseconds(value));
    return *this;
  }
  Document& document(std::string_view name, const Document& value) {
    ok_ &= bson_append_document(bson_, name.data(), size(name), value.bson_) && value.ok_;
    return *this;
  }
  // `value` has the names "0", "1", ...
  Document& array(std::string_view name, const Document& value) {
    ok_ &= bson_append_array(bson_, name.data(), size(name), value.bson_) && value.ok_;
    return *this;
  }

  bool empty() const { return bson_count_keys(bson_) == 0; }
  bool ok() const { return ok_; }
  std::size_t bytes() const { return bson_->len; }
  void clear() {
    bson_reinit(bson_);
    ok_ = true;
  }
  const bson_t* get() const { return bson_; }
  bson_t* get() { return bson_; }
  // Canonical extended JSON, for messages and tests.
  std::string json() const {
    char* text = bson_as_canonical_extended_json(bson_, nullptr);
    std::string copy(text == nullptr ? "" : text);
    bson_free(text);
    return copy;
  }

 private:
  static int size(std::string_view text) { return static_cast<int>(text.size()); }

  bson_t* bson_;
  bool ok_ = true;
};

// A list of documents or texts, to be given to Document::array.
class Array {
 public:
  void add(const Document& value) { list_.document(std::to_string(next_++), value); }
  void add(std::string_view value) { list_.text(std::to_string(next_++), value); }
  const Document& list() const { return list_; }

 private:
  Document list_;
  std::uint32_t next_ = 0;
};

// A document, or a part of one, that is being read; valid as long as the bytes that it was found
// in. Members of another type than asked for are taken as missing.
class DocumentView {
 public:
  DocumentView() = default;
  explicit DocumentView(const bson_t* bson) { is_there_ = bson_iter_init(&begin_, bson); }

  bool is_there() const { return is_there_; }
  // Before the first member.
  bson_iter_t begin() const { return begin_; }

  std::optional<std::string_view> text(const char* name) const {
    bson_iter_t member;
    if (!find(name, &member) || !BSON_ITER_HOLDS_UTF8(&member)) return std::nullopt;
    return text_at(member);
  }
  std::optional<Timestamp> date(const char* name) const {
    bson_iter_t member;
    if (!find(name, &member) || !BSON_ITER_HOLDS_DATE_TIME(&member)) return std::nullopt;
    return from_unix_milliseconds(bson_iter_date_time(&member));
  }
  // Any kind of number.
  std::optional<double> number(const char* name) const {
    bson_iter_t member;
    if (!find(name, &member)) return std::nullopt;
    return number_at(member);
  }
  std::optional<std::int64_t> integer(const char* name) const {
    bson_iter_t member;
    if (!find(name, &member) || !BSON_ITER_HOLDS_NUMBER(&member)) return std::nullopt;
    return bson_iter_as_int64(&member);
  }
  // A document or an array; not there when missing.
  DocumentView document(const char* name) const {
    bson_iter_t member;
    if (!find(name, &member)) return {};
    return document_at(member);
  }

  static std::string_view text_at(const bson_iter_t& member) {
    std::uint32_t size = 0;
    const char* text = bson_iter_utf8(&member, &size);
    return {text, size};
  }
  static std::optional<double> number_at(const bson_iter_t& member) {
    if (!BSON_ITER_HOLDS_NUMBER(&member)) return std::nullopt;
    return bson_iter_as_double(&member);
  }
  static DocumentView document_at(const bson_iter_t& member) {
    DocumentView view;
    if (BSON_ITER_HOLDS_DOCUMENT(&member) || BSON_ITER_HOLDS_ARRAY(&member)) {
      view.is_there_ = bson_iter_recurse(&member, &view.begin_);
    }
    return view;
  }

 private:
  bool find(const char* name, bson_iter_t* member) const {
    if (!is_there_) return false;
    *member = begin_;
    return bson_iter_find(member, name);
  }

  bson_iter_t begin_{};
  bool is_there_ = false;
};

// The text with U+FFFD for each byte that is not part of well-formed UTF-8, which BSON requires.
std::string valid_utf8(std::string_view text);

}  // namespace gpu_telemetry::storage::mongodb
