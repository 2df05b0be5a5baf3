#include <string>

#include "io/file_system.h"

namespace gpu_telemetry::io {
namespace {

Result<void> write_and_sync(FileSystem& files, const std::string& path, std::string_view content) {
  auto file = files.open(path, OpenMode::kCreate);
  if (!file) return file.error();
  if (auto written = (*file)->write_at(0, {&content, 1}); !written) return written.error();
  return (*file)->sync_data();
}

}  // namespace

std::string parent_folder(const std::string& path) {
  const std::size_t end_of_name = path.find_last_not_of('/');
  if (end_of_name == std::string::npos) return path.empty() ? "." : "/";
  const std::size_t slash = path.rfind('/', end_of_name);
  if (slash == std::string::npos) return ".";
  const std::size_t end_of_folder = path.find_last_not_of('/', slash);
  return end_of_folder == std::string::npos ? "/" : path.substr(0, end_of_folder + 1);
}

Result<std::string> read_file(FileSystem& files, const std::string& path, std::uint64_t limit) {
  auto file = files.open(path, OpenMode::kRead);
  if (!file) return file.error();
  const auto size = (*file)->size();
  if (!size) return size.error();
  if (*size > limit) {
    return full(path + ": is " + std::to_string(*size) + " bytes; at most " +
                std::to_string(limit) + " are read");
  }
  std::string content(static_cast<std::size_t>(*size), '\0');
  const auto read = (*file)->read_at(0, content.data(), content.size());
  if (!read) return read.error();
  content.resize(*read);
  return content;
}

Result<void> write_file_atomically(FileSystem& files, const std::string& path,
                                   std::string_view content) {
  const std::string temporary = path + ".tmp";
  // What an interrupted attempt left is of no use to anybody.
  if (auto removed = files.remove(temporary);
      !removed && removed.error().code != ErrorCode::kNotFound) {
    return removed.error();
  }
  auto published = write_and_sync(files, temporary, content);
  if (published) published = files.rename(temporary, path);
  if (!published) {
    (void)files.remove(temporary);  // the first error is the one that matters
    return published.error();
  }
  return files.sync_directory(parent_folder(path));
}

}  // namespace gpu_telemetry::io
