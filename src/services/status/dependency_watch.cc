#include "services/status/dependency_watch.h"

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <utility>

#include "concurrency/spawn.h"
#include "observability/log.h"

namespace gpu_telemetry::services {
namespace asio = boost::asio;

DependencyWatch::DependencyWatch(asio::any_io_executor executor, observability::Health& health,
                                 std::string name, Ask ask)
    : executor_(std::move(executor)),
      health_(health),
      name_(std::move(name)),
      ask_(std::move(ask)),
      timer_(executor_) {
  health_.expect(name_);
}

void DependencyWatch::start() { concurrency::spawn(executor_, run()); }

void DependencyWatch::stop() {
  stopping_ = true;
  timer_.cancel();
}

asio::awaitable<void> DependencyWatch::run() {
  constexpr std::chrono::seconds kPauseWell{5};
  constexpr std::chrono::seconds kPauseAway{1};
  while (!stopping_) {
    const auto answer = co_await ask_();
    if (stopping_) break;
    note(answer);
    timer_.expires_after(answer ? kPauseWell : kPauseAway);
    boost::system::error_code ignored;
    co_await timer_.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  }
}

void DependencyWatch::note(const Result<std::vector<std::string>>& answer) {
  if (!answer) {
    health_.set_failed(name_, answer.error().message);
    return;
  }
  std::string remark;
  for (const std::string& warning : *answer) remark += (remark.empty() ? "" : "; ") + warning;
  health_.set_ok(name_, remark);
  if (*answer == warnings_) return;
  warnings_ = *answer;
  for (const std::string& warning : warnings_) {
    observability::log_warn(name_ + " is not set up safely", {{"reason", warning}});
  }
}

}  // namespace gpu_telemetry::services
