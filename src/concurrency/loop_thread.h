// An io_context and the one thread that runs it.
#pragma once

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <string>
#include <thread>
#include <utility>

#include "concurrency/thread_name.h"

namespace gpu_telemetry::concurrency {

// Runs from start() to stop(), also while there is nothing to do. What is suspended in it then goes
// when the loop is destroyed. start() and stop() are called from one thread.
class LoopThread {
 public:
  explicit LoopThread(std::string name) : name_(std::move(name)) {}
  ~LoopThread() { stop(); }
  LoopThread(const LoopThread&) = delete;
  LoopThread& operator=(const LoopThread&) = delete;

  void start() {
    thread_ = std::thread([this] {
      name_this_thread(name_.c_str());
      context_.run();
    });
  }
  // Ends the thread at its next turn. Idempotent.
  void stop() {
    work_.reset();
    context_.stop();
    if (thread_.joinable()) thread_.join();
  }
  bool is_running() const { return thread_.joinable(); }

  boost::asio::io_context& context() { return context_; }
  boost::asio::io_context::executor_type executor() { return context_.get_executor(); }

 private:
  const std::string name_;
  boost::asio::io_context context_{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_{
      context_.get_executor()};
  std::thread thread_;
};

}  // namespace gpu_telemetry::concurrency
