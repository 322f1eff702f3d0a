#include "tests/support/pipeline/inline_consumer.h"

#include <gtest/gtest.h>

#include <memory>

#include "pipeline/intake.h"
#include "pipeline/worker.h"

namespace penstock::test {
namespace {

// Nobody empties the queues while they are filled, so they must have room for everything.
constexpr size_t kRoom = size_t{1} << 40;

}  // namespace

InlineConsumer::InlineConsumer(const pipeline::PipelineOptions& options, MemoryStore* store)
    : options_(options), store_(store) {
  options_.workers = 1;
  options_.state_store = [store] { return store->MakeReader(); };
}

std::vector<firehose::StreamVerdict> InlineConsumer::Run(const std::vector<Arrival>& arrivals) {
  pipeline::TaskQueue tasks(kRoom, kRoom);
  pipeline::ChangeQueue changes(kRoom, kRoom);
  pipeline::Intake intake(options_, {&tasks}, &changes, &changes_);
  pipeline::Worker worker(options_, &tasks, &changes, &changes_);

  std::map<std::string_view, std::unique_ptr<firehose::StreamGuard>> guards;
  std::vector<pipeline::Source*> sources;
  for (const Arrival& arrival : arrivals) {
    auto& guard = guards[arrival.source];
    if (guard) continue;
    guard = std::make_unique<firehose::StreamGuard>(
        std::string(arrival.source), firehose::StreamGuard::Mode::kLive, &intake, options_.counters);
    guard->Start(std::nullopt);
    sources.push_back(
        intake.AddSource(std::string(arrival.source), std::nullopt, sources_[std::string(arrival.source)]));
  }
  worker.SetSources(sources);
  const auto held = store_->MakeReader()->ForEachHeldAccount(
      [&](const sync::HeldAccount& account) { worker.AddHeldAccount(account); });
  EXPECT_TRUE(held.ok()) << held;

  std::vector<firehose::StreamVerdict> verdicts;
  for (const Arrival& arrival : arrivals) {
    firehose::DeliveryPtr delivery = deliveries_.Take();
    delivery->buffer = buffers_.Take();
    delivery->buffer.Append(AsBytes(arrival.message));
    delivery->buffer.arrival_us = options_.clock->NowMicros();
    verdicts.push_back(guards[arrival.source]->OnMessage(delivery.get()));
    if (verdicts.back().action != firehose::StreamAction::kDeliver) continue;
    EXPECT_TRUE(intake.Offer(arrival.source, &delivery));
  }
  tasks.Close();
  const absl::Status worked = worker.Run();
  EXPECT_TRUE(worked.ok()) << worked;

  changes.Close();
  std::vector<indexer::ChangeSetPtr> batch;
  while (std::optional<indexer::ChangeSetPtr> change = changes.Pop()) batch.push_back(std::move(*change));
  indexer::ApplyResult result;
  const absl::Status written = store_->Apply(indexer::Batch{batch, {}}, &result);
  EXPECT_TRUE(written.ok()) << written;
  return verdicts;
}

}  // namespace penstock::test
