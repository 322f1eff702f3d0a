#pragma once

// A small vocabulary for the tests of rows: records, and commits that have passed their check. Items and
// records are made with the words of tests/firehose/frame_builder.h.

#include <deque>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "firehose/frame.h"
#include "indexer/change_set.h"
#include "indexer/row_builder.h"
#include "repo/commit_check.h"
#include "tests/firehose/frame_builder.h"

namespace penstock::test {

inline constexpr std::string_view kPost = "space.atbb.post";

// A record of the forum with a few ordinary fields.
inline Map Post(std::string_view text = "hello") {
  return {{"$type", Text(kPost)}, {"text", Text(text)}, {"createdAt", Text("2026-01-15T12:00:00.000Z")}};
}

// A commit that passed the check, put together op by op. Owns what its views point to.
class CheckedCommitMaker {
 public:
  explicit CheckedCommitMaker(std::string_view did = kDid) {
    frame.kind = firehose::FrameKind::kCommit;
    frame.type = "#commit";
    frame.seq = 1000;
    frame.did = repo::Did::Parse(Own(did)).value();
    frame.time = kTime;
    frame.rev = kRev;
    frame.commit = OwnCid(CidOf("commit"));
  }
  CheckedCommitMaker(const CheckedCommitMaker&) = delete;
  CheckedCommitMaker& operator=(const CheckedCommitMaker&) = delete;

  CheckedCommitMaker& Create(std::string_view path, const Item& record) {
    return Add(repo::Action::kCreate, path, cbor::Cid::OfBlock(AsBytes(record)), record);
  }
  CheckedCommitMaker& Update(std::string_view path, const Item& record) {
    return Add(repo::Action::kUpdate, path, cbor::Cid::OfBlock(AsBytes(record)), record);
  }
  CheckedCommitMaker& Delete(std::string_view path) {
    return Add(repo::Action::kDelete, path, cbor::Cid(), {});
  }
  // With a CID of a kind that cannot be hashed, so that the check hands on no bytes.
  CheckedCommitMaker& CreateUnverifiable(std::string_view path) {
    return Add(repo::Action::kCreate, path, cbor::Cid::OfBlock(AsBytes("blob"), cbor::kCodecRaw), {});
  }

  void Build(indexer::RowBuilder* builder, indexer::ChangeSet* change,
             std::string_view raw_frame = "raw frame") {
    repo::CheckedCommit checked;
    checked.records = records_;
    builder->BuildCommit(frame, checked, indexer::Verification::kCid, AsBytes(raw_frame), change);
  }

  firehose::Frame frame;

 private:
  std::string_view Own(std::string_view text) { return texts_.emplace_back(text); }
  cbor::CidView OwnCid(const cbor::Cid& cid) { return cids_.emplace_back(cid).view(); }

  CheckedCommitMaker& Add(repo::Action action, std::string_view path, const cbor::Cid& cid,
                          std::string_view record) {
    repo::RepoOp op;
    op.action = action;
    op.path = Own(path);
    op.collection = op.path.substr(0, op.path.find('/'));
    op.rkey = op.path.substr(op.collection.size() + 1);
    op.cid = cid.empty() ? cbor::CidView() : OwnCid(cid);
    frame.ops.push_back(op);
    records_.push_back(record.empty() ? Bytes() : AsBytes(Own(record)));
    return *this;
  }

  std::deque<std::string> texts_;  // stable addresses
  std::deque<cbor::Cid> cids_;
  std::vector<Bytes> records_;
};

}  // namespace penstock::test
