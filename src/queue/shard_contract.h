// How every MessageQueue lets readers share a source (shards.h), as tests (shard_contract.cc).
// Instantiated beside QueueContract:
//
//     INSTANTIATE_TEST_SUITE_P(Memory, ShardContract, ::testing::Values(&make_memory_under_test));
#pragma once

#include "queue/queue_contract.h"

namespace gpu_telemetry::queue {

class ShardContract : public QueueContract {
 protected:
  static ShardRequest ask(std::string member, Milliseconds ttl = Milliseconds{15'000}) {
    ShardRequest request;
    request.topic = "telemetry";
    request.source = "fleet.csv";
    request.member = std::move(member);
    request.ttl = ttl;
    return request;
  }
  ShardAssignment join(std::string member, Milliseconds ttl = Milliseconds{15'000}) {
    return ok(queue().shards(ask(std::move(member), ttl)));
  }
  ShardAssignment leave(std::string member) {
    ShardRequest request = ask(std::move(member));
    request.leave = true;
    return ok(queue().shards(std::move(request)));
  }
  // What the member has to give back, and what it holds then.
  ShardAssignment give_back_surplus(const std::string& member) {
    ShardAssignment has = join(member);
    ShardRequest request = ask(member);
    for (std::uint32_t i = 0; i < has.surplus; ++i) {
      request.give_back.push_back(has.held[has.held.size() - 1 - i].shard);
    }
    return ok(queue().shards(std::move(request)));
  }
  static std::vector<std::uint32_t> numbers(const ShardAssignment& assignment) {
    std::vector<std::uint32_t> all;
    for (const ShardLease& lease : assignment.held) all.push_back(lease.shard);
    return all;
  }
  static ShardProgress progress(const std::string& member, std::vector<ShardStep> steps) {
    return {"fleet.csv", member, std::move(steps)};
  }
  static ShardStep step(const ShardLease& lease, std::uint64_t to, bool finished = false) {
    return {lease.shard, lease.fence, lease.position, to, finished};
  }
  Result<std::vector<PublishResult>> publish_progress(std::vector<std::string> payloads,
                                                      ShardProgress progress) {
    return run(queue().publish("telemetry", messages(std::move(payloads)), std::move(progress)));
  }
  static ShardLease lease_of(const ShardAssignment& assignment, std::uint32_t shard) {
    for (const ShardLease& lease : assignment.held) {
      if (lease.shard == shard) return lease;
    }
    ADD_FAILURE() << "shard " << shard << " is not held";
    return {};
  }
};

}  // namespace gpu_telemetry::queue
