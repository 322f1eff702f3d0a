#include "tests/support/relay/event_frames.h"

#include "cbor/writer.h"

namespace penstock::test {
namespace {

constexpr std::string_view kTime = "2026-01-02T03:04:05.678Z";

std::string Header(std::string_view type) {
  cbor::MapWriter header;
  header.Key("op").Int(1);
  header.Key("t").Text(type);
  std::string out;
  header.Finish(&out);
  return out;
}

}  // namespace

std::string IdentityFrame(int64_t seq, std::string_view did, size_t padding) {
  cbor::MapWriter payload;
  payload.Key("seq").Int(seq);
  payload.Key("did").Text(did);
  payload.Key("time").Text(kTime);
  if (padding > 0) payload.Key("padding").Text(std::string(padding, 'x'));
  std::string out = Header("#identity");
  payload.Finish(&out);
  return out;
}

std::string AccountFrame(int64_t seq, std::string_view did) {
  cbor::MapWriter payload;
  payload.Key("seq").Int(seq);
  payload.Key("did").Text(did);
  payload.Key("time").Text(kTime);
  payload.Key("active").Bool(true);
  std::string out = Header("#account");
  payload.Finish(&out);
  return out;
}

std::string UnknownTypeFrame(int64_t seq) {
  cbor::MapWriter payload;
  payload.Key("seq").Int(seq);
  std::string out = Header("#somethingNew");
  payload.Finish(&out);
  return out;
}

std::string RejectedFrame(int64_t seq) {
  cbor::MapWriter payload;
  payload.Key("seq").Int(seq);
  payload.Key("did").Int(42);
  payload.Key("time").Text(kTime);
  payload.Key("active").Bool(true);
  std::string out = Header("#account");
  payload.Finish(&out);
  return out;
}

std::string PoisonFrameBytes(int64_t seq) {
  return Header("#identity") + "\xff poison " + std::to_string(seq);
}

}  // namespace penstock::test
