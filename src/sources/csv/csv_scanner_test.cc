#include "sources/csv/csv_scanner.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

namespace gpu_telemetry::sources::csv {
namespace {

using Rows = std::vector<std::vector<std::string>>;

struct Scanned {
  Rows rows;
  std::vector<std::uint64_t> lines;
  std::vector<std::uint64_t> malformed;  // lines
  friend bool operator==(const Scanned&, const Scanned&) = default;
};

// Feeds `text` in two parts, cut at `cut`, and then whatever `piece` bytes.
Scanned scan(std::string_view text, Instructions instructions = best_instructions(),
             std::size_t cut = 0, std::size_t piece = SIZE_MAX) {
  CsvScanner scanner(instructions);
  Scanned out;
  CsvRecord record;
  std::size_t at = 0;
  while (true) {
    switch (scanner.next(record)) {
      case ScanStatus::kRecord: {
        auto& row = out.rows.emplace_back();
        for (std::uint32_t i = 0; i < record.field_count; ++i) {
          std::string field;
          EXPECT_TRUE(append_unquoted(record.raw(i), field));
          row.push_back(field);
        }
        out.lines.push_back(record.line);
        break;
      }
      case ScanStatus::kMalformed:
        out.malformed.push_back(scanner.problem_line());
        break;
      case ScanStatus::kNeedInput: {
        const std::span<char> space = scanner.space();
        std::size_t size = std::min({space.size(), piece, text.size() - at});
        if (at < cut) size = std::min(size, cut - at);
        if (size == 0) scanner.finish();
        std::copy_n(text.data() + at, size, space.data());
        scanner.commit(size);
        at += size;
        break;
      }
      case ScanStatus::kEnd:
        return out;
    }
  }
}

// RFC 4180, a character at a time. Only for well-formed text that ends with a line feed.
Rows split_simply(std::string_view text) {
  Rows rows(1);
  std::string field;
  bool quoted = false;
  const auto end_field = [&] {
    rows.back().push_back(field);
    field.clear();
  };
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quoted) {
      if (c != '"') {
        field += c;
      } else if (i + 1 < text.size() && text[i + 1] == '"') {
        field += '"';
        ++i;
      } else {
        quoted = false;
      }
    } else if (c == '"') {
      quoted = true;
    } else if (c == ',') {
      end_field();
    } else if (c == '\n') {
      end_field();
      if (rows.back() == std::vector<std::string>{""}) rows.pop_back();  // a blank line
      rows.emplace_back();
    } else if (c != '\r') {
      field += c;
    }
  }
  rows.pop_back();
  return rows;
}

std::string quote(std::string_view field) {
  std::string out = "\"";
  for (const char c : field) out.append(c == '"' ? 2 : 1, c);
  return out + '"';
}

std::vector<Instructions> supported() {
  std::vector<Instructions> out;
  std::ranges::copy_if(kAllInstructions, std::back_inserter(out), is_supported);
  return out;
}

class ScannerOnEveryInstructionSet : public testing::TestWithParam<Instructions> {};
INSTANTIATE_TEST_SUITE_P(, ScannerOnEveryInstructionSet, testing::ValuesIn(supported()),
                         [](const auto& each) { return std::string(to_string(each.param)); });

TEST_P(ScannerOnEveryInstructionSet, ReadsBackRandomRowsAndAgreesWithASimpleSplitter) {
  std::mt19937 random(4180);
  constexpr std::string_view kAlphabet = "ab\",\n 1";
  for (int round = 0; round < 300; ++round) {
    Rows rows;
    std::string text;
    const bool crlf = random() % 2 == 0;
    for (unsigned r = random() % 40 + 1; r > 0; --r) {
      auto& row = rows.emplace_back();
      for (unsigned f = random() % 5 + 2; f > 0; --f) {
        std::string field;
        for (unsigned n = random() % 4 == 0 ? random() % 200 : random() % 8; n > 0; --n) {
          field += kAlphabet[random() % kAlphabet.size()];
        }
        const bool must = field.find_first_of("\",\n") != std::string::npos;
        text += must || random() % 2 == 0 ? quote(field) : field;
        text += f > 1 ? "," : crlf ? "\r\n" : "\n";
        row.push_back(field);
      }
    }
    const Scanned scanned =
        scan(text, GetParam(), 0, random() % 3 == 0 ? random() % 90 + 1 : SIZE_MAX);
    ASSERT_EQ(scanned.rows, rows) << text;
    ASSERT_EQ(split_simply(text), rows) << text;
    ASSERT_TRUE(scanned.malformed.empty());
  }
}

TEST_P(ScannerOnEveryInstructionSet, GivesTheSameForEveryPlaceWhereInputIsCut) {
  std::string text = "\xef\xbb\xbf\"time\",name,\"a \"\"quoted\"\" one\"\r\n";
  for (int i = 0; i < 6; ++i) {
    text +=
        "\"2025-07-18T20:42:34Z\",DCGM_FI_DEV_GPU_UTIL,\"x=\"\"1\"\",y=\"\"two\nlines\"\"\"\r\n";
    text += "plain,\"\",3\n\n";
    text += "bad,st\"ray,4\n";
    text += "good,again,5\n";
  }
  text += "no,line,feed";
  const Scanned whole = scan(text, Instructions::kPortable);
  EXPECT_EQ(whole.rows.size(), 1U + 6 * 3 + 1);
  EXPECT_EQ(whole.malformed.size(), 6U);
  EXPECT_EQ(whole.lines.back(), 6U * 6 + 2);
  for (std::size_t cut = 0; cut <= text.size(); ++cut) {
    ASSERT_EQ(scan(text, GetParam(), cut), whole) << "cut at " << cut;
  }
  for (const std::size_t piece : {1, 2, 3, 7, 63, 64, 65}) {
    ASSERT_EQ(scan(text, GetParam(), 0, piece), whole) << "pieces of " << piece;
  }
}

TEST_P(ScannerOnEveryInstructionSet, AgreesWithThePortableOneOnAnyBytes) {
  std::mt19937 random(7);
  constexpr std::string_view kAlphabet = "\"\",,\n\nab\r\0\xff";
  for (int round = 0; round < 2000; ++round) {
    std::string text;
    for (unsigned n = random() % 300; n > 0; --n) text += kAlphabet[random() % kAlphabet.size()];
    // Fields that only start with a quote cannot be unquoted; here the cut is compared.
    const auto cuts = [&](Instructions instructions, std::size_t piece) {
      CsvScanner scanner(instructions);
      CsvRecord record;
      std::vector<std::string> out;
      for (std::size_t at = 0;;) {
        const ScanStatus status = scanner.next(record);
        if (status == ScanStatus::kEnd) return out;
        if (status == ScanStatus::kMalformed) {
          out.push_back("malformed " + std::to_string(scanner.problem_line()));
        } else if (status == ScanStatus::kRecord) {
          out.push_back(std::to_string(record.line));
          for (std::uint32_t i = 0; i < record.field_count; ++i) out.emplace_back(record.raw(i));
        } else {
          const std::span<char> space = scanner.space();
          const std::size_t size = std::min({space.size(), piece, text.size() - at});
          std::copy_n(text.data() + at, size, space.data());
          at += size;
          scanner.commit(size);
          if (size == 0) scanner.finish();
        }
      }
    };
    ASSERT_EQ(cuts(GetParam(), 1 + random() % 100), cuts(Instructions::kPortable, SIZE_MAX))
        << text;
  }
}

TEST(CsvScanner, EndsAtOnceWithoutInput) {
  EXPECT_EQ(scan(""), Scanned{});
  EXPECT_EQ(scan("\n\r\n\n"), Scanned{});
}

TEST(CsvScanner, SkipsAByteOrderMarkOnlyAtTheStart) {
  EXPECT_EQ(scan("\xef\xbb\xbf"
                 "a,b\n")
                .rows,
            (Rows{{"a", "b"}}));
  EXPECT_EQ(scan("\xef\xbb").rows, (Rows{{"\xef\xbb"}}));
  EXPECT_EQ(scan("a\n\xef\xbb\xbf"
                 "b\n")
                .rows,
            (Rows{{"a"},
                  {"\xef\xbb\xbf"
                   "b"}}));
}

TEST(CsvScanner, CostsAMissingQuoteOnlyItsOwnLine) {
  const Scanned scanned = scan("a,\"1\"\nb,\"2\nc,\"3\"\nd,\"4\"\n");
  EXPECT_EQ(scanned.rows, (Rows{{"a", "1"}, {"c", "3"}, {"d", "4"}}));
  EXPECT_EQ(scanned.malformed, (std::vector<std::uint64_t>{2}));
}

TEST(CsvScanner, FindsItsWayAfterAQuoteThatNeverCloses) {
  std::string text = "a,\"open\n";
  std::string plain;
  while (plain.size() < 2 * kMaxRecordSize) plain += "some,fields\n";
  const Scanned scanned = scan(text + plain);
  EXPECT_EQ(scanned.malformed, (std::vector<std::uint64_t>{1}));
  EXPECT_EQ(scanned.rows.size(), plain.size() / 12);
  EXPECT_EQ(scanned.lines.back(), 1 + plain.size() / 12);
}

TEST(CsvScanner, FindsItsWayAfterAQuoteThatNeverClosesBeforeTheEnd) {
  const Scanned scanned = scan("a,1\nb,\"2\nc,3");
  EXPECT_EQ(scanned.rows, (Rows{{"a", "1"}, {"c", "3"}}));
  EXPECT_EQ(scanned.malformed, (std::vector<std::uint64_t>{2}));
}

TEST(CsvScanner, SkipsALineOfAHundredMegabytesInBoundedMemory) {
  CsvScanner scanner;
  CsvRecord record;
  const std::string begin = "a,1\n";
  const std::string piece(kReadSize, 'x');
  std::size_t fed = 0;
  std::vector<std::string> rows;
  unsigned malformed = 0;
  std::size_t memory = 0;
  for (bool done = false; !done;) {
    switch (scanner.next(record)) {
      case ScanStatus::kRecord:
        rows.emplace_back(record.raw(0));
        break;
      case ScanStatus::kMalformed:
        ++malformed;
        break;
      case ScanStatus::kEnd:
        done = true;
        break;
      case ScanStatus::kNeedInput: {
        constexpr std::size_t kLine = 100'000'000;
        const std::string_view text = fed == 0          ? std::string_view(begin)
                                      : fed < kLine     ? std::string_view(piece)
                                      : fed < 2 * kLine ? std::string_view("\nb,2\n")
                                                        : std::string_view();
        std::copy_n(text.data(), text.size(), scanner.space().data());
        scanner.commit(text.size());
        if (text.empty()) scanner.finish();
        fed += fed >= kLine ? kLine : text.size();
        memory = std::max(memory, scanner.memory());
      }
    }
  }
  EXPECT_EQ(rows, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(malformed, 1U);
  EXPECT_LT(memory, 4U << 20);
}

TEST(CsvScanner, RefusesARecordOfTooManyFields) {
  const std::string many(kMaxFields, ',');
  const Scanned scanned = scan("a,b\n" + many + "\n" + many.substr(1) + "\nc,d\n");
  EXPECT_EQ(scanned.malformed, (std::vector<std::uint64_t>{2}));
  EXPECT_EQ(scanned.rows.size(), 3U);
  EXPECT_EQ(scan(std::string(100'000, ',')).malformed.size(), 1U);
}

TEST(CsvScanner, RefusesARecordThatIsTooLongEvenWhenItsEndIsKnown) {
  const std::string limit(kMaxRecordSize, 'x');
  EXPECT_EQ(scan(limit + "\n").rows.size(), 1U);
  EXPECT_EQ(scan("\"a\n" + limit + "\"\nb\n").malformed.size(), 2U);
}

TEST(CsvScanner, StartsAgainAfterReset) {
  CsvScanner scanner;
  CsvRecord record;
  for (int pass = 0; pass < 2; ++pass) {
    ASSERT_EQ(scanner.next(record), ScanStatus::kNeedInput);
    const std::string_view text =
        "\xef\xbb\xbf"
        "a,\"torn";
    std::copy_n(text.data(), text.size(), scanner.space().data());
    scanner.commit(text.size());
    ASSERT_EQ(scanner.next(record), ScanStatus::kNeedInput);
    scanner.finish();
    ASSERT_EQ(scanner.next(record), ScanStatus::kMalformed);
    EXPECT_EQ(scanner.problem_line(), 1U);
    ASSERT_EQ(scanner.next(record), ScanStatus::kEnd);
    scanner.reset();
  }
}

TEST(CsvScanner, GoesOnWithTheSecondLineOfARecordThatIsTakenBack) {
  CsvScanner scanner;
  CsvRecord record;
  const std::string_view text = "\"a\nb,c\nd\"\ne,f\n";
  ASSERT_EQ(scanner.next(record), ScanStatus::kNeedInput);
  std::copy_n(text.data(), text.size(), scanner.space().data());
  scanner.commit(text.size());
  ASSERT_EQ(scanner.next(record), ScanStatus::kRecord);
  EXPECT_EQ(record.line_count, 3U);
  scanner.resume_at_second_line(record);
  ASSERT_EQ(scanner.next(record), ScanStatus::kRecord);
  EXPECT_EQ(record.line, 2U);
  EXPECT_EQ(record.raw(1), "c");
  ASSERT_EQ(scanner.next(record), ScanStatus::kMalformed);  // d"
  ASSERT_EQ(scanner.next(record), ScanStatus::kRecord);
  EXPECT_EQ(record.line, 4U);
}

}  // namespace
}  // namespace gpu_telemetry::sources::csv
