#include "cbor/second_opinion.h"

#include <cbor.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>
#include <string_view>
#include <vector>

#include "base/encoding.h"
#include "cbor/cid.h"
#include "cbor/json_out.h"
#include "cbor/reader.h"
#include "cbor/utf8.h"
#include "cbor/writer.h"

namespace penstock::cbor {
namespace {

// libcbor's callbacks, each of which fills the LenientItem that is handed through as context.
LenientItem& ItemOf(void* context) { return *static_cast<LenientItem*>(context); }

template <LenientKind kKind, typename T>
void OnArgument(void* context, T argument) {
  ItemOf(context).kind = kKind;
  ItemOf(context).argument = argument;
}
template <LenientKind kKind>
void OnString(void* context, cbor_data data, size_t size) {
  ItemOf(context).kind = kKind;
  ItemOf(context).content = Bytes(data, size);
}
template <LenientKind kKind>
void OnHead(void* context) {
  ItemOf(context).kind = kKind;
}
template <typename T>
void OnFloat(void* context, T number) {
  ItemOf(context).kind = LenientKind::kFloat;
  ItemOf(context).number = static_cast<double>(number);
}

constexpr cbor_callbacks MakeCallbacks() {
  cbor_callbacks callbacks{};
  callbacks.uint8 = OnArgument<LenientKind::kUint, uint8_t>;
  callbacks.uint16 = OnArgument<LenientKind::kUint, uint16_t>;
  callbacks.uint32 = OnArgument<LenientKind::kUint, uint32_t>;
  callbacks.uint64 = OnArgument<LenientKind::kUint, uint64_t>;
  callbacks.negint8 = OnArgument<LenientKind::kNegative, uint8_t>;
  callbacks.negint16 = OnArgument<LenientKind::kNegative, uint16_t>;
  callbacks.negint32 = OnArgument<LenientKind::kNegative, uint32_t>;
  callbacks.negint64 = OnArgument<LenientKind::kNegative, uint64_t>;
  callbacks.byte_string = OnString<LenientKind::kBytes>;
  callbacks.byte_string_start = OnHead<LenientKind::kBytesChunks>;
  callbacks.string = OnString<LenientKind::kText>;
  callbacks.string_start = OnHead<LenientKind::kTextChunks>;
  callbacks.array_start = OnArgument<LenientKind::kArray, size_t>;
  callbacks.indef_array_start = OnHead<LenientKind::kArrayIndefinite>;
  callbacks.map_start = OnArgument<LenientKind::kMap, size_t>;
  callbacks.indef_map_start = OnHead<LenientKind::kMapIndefinite>;
  callbacks.tag = OnArgument<LenientKind::kTag, uint64_t>;
  callbacks.float2 = OnFloat<float>;
  callbacks.float4 = OnFloat<float>;
  callbacks.float8 = OnFloat<double>;
  callbacks.boolean = OnArgument<LenientKind::kBool, bool>;
  callbacks.null = OnHead<LenientKind::kNull>;
  callbacks.undefined = OnHead<LenientKind::kUndefined>;
  callbacks.indef_break = OnHead<LenientKind::kBreak>;
  return callbacks;
}

// Simple values that have no meaning yet are well formed (RFC 8949 section 3.3), which libcbor denies.
std::optional<LenientItem> UnassignedSimple(Bytes input) {
  LenientItem item;
  item.kind = LenientKind::kSimple;
  if (input[0] >= 0xe0 && input[0] <= 0xf3) {
    item.argument = input[0] & 0x1f;
    item.head_size = 1;
    return item;
  }
  if (input[0] == 0xf8 && input.size() >= 2 && input[1] >= 32) {
    item.argument = input[1];
    item.head_size = 2;
    return item;
  }
  return std::nullopt;
}

}  // namespace

LenientReader::Result LenientReader::Next(LenientItem* item) {
  static constexpr cbor_callbacks kCallbacks = MakeCallbacks();
  const Bytes rest = input_.subspan(at_);
  if (rest.empty()) return Result::kEnd;
  LenientItem next;
  size_t size;
  if (const auto simple = UnassignedSimple(rest)) {
    next = *simple;
    size = next.head_size;
  } else {
    const cbor_decoder_result result = cbor_stream_decode(rest.data(), rest.size(), &kCallbacks, &next);
    if (result.status == CBOR_DECODER_NEDATA) return Result::kTruncated;
    if (result.status != CBOR_DECODER_FINISHED) return Result::kMalformed;
    size = result.read;
    next.head_size = size - next.content.size();
  }
  next.offset = at_;
  at_ += size;
  *item = next;
  return Result::kItem;
}

namespace {

constexpr uint64_t kTagLink = 42;

class Diagnosis {
 public:
  Diagnosis(Bytes input, const DiagnoseOptions& options) : input_(input), options_(options), reader_(input) {}

  std::string Run() && {
    for (;;) {
      if (out_.size() > options_.max_output) return Stop("output cut here");
      CloseFullLevels();
      const size_t at = reader_.offset();
      if (levels_.empty() && at > 0 && at < input_.size() && !options_.sequence && !trailing_) {
        trailing_ = true;
        Mark(at, Reject::kCborTrailingBytes);
      }
      LenientItem item;
      switch (reader_.Next(&item)) {
        case LenientReader::Result::kItem:
          if (!Show(item)) return std::move(out_);
          break;
        case LenientReader::Result::kEnd:
          if (!levels_.empty() || at == 0) return Stop("the bytes end here, the item does not");
          return std::move(out_);
        case LenientReader::Result::kTruncated:
          return Stop("the bytes end within this: h'" + HexOf(input_.subspan(at)) + "'");
        case LenientReader::Result::kMalformed:
          return Stop("no CBOR: h'" + HexOf(input_.subspan(at)) + "'");
      }
    }
  }

 private:
  // What we are inside of.
  struct Level {
    LenientKind kind;    // a container, chunks or a tag
    uint64_t remaining;  // items; not used by the indefinite ones
    uint64_t tag;        // of a tag
    bool key_next;       // of a map: whether a key comes next
    bool has_key;        // of a map: whether `last_key` is there
    std::string_view last_key;
  };

  static bool IsIndefinite(LenientKind kind) {
    return kind == LenientKind::kArrayIndefinite || kind == LenientKind::kMapIndefinite ||
           kind == LenientKind::kBytesChunks || kind == LenientKind::kTextChunks;
  }
  static bool IsMap(LenientKind kind) {
    return kind == LenientKind::kMap || kind == LenientKind::kMapIndefinite;
  }
  static bool IsChunks(LenientKind kind) {
    return kind == LenientKind::kBytesChunks || kind == LenientKind::kTextChunks;
  }

  // ---- the walk ----

  // Shows one item in its place. False when nothing can follow: the text is then complete.
  bool Show(const LenientItem& item) {
    if (item.kind == LenientKind::kBreak) return ShowBreak(item);
    if (!levels_.empty() && IsChunks(levels_.back().kind) && !IsChunkOf(levels_.back().kind, item.kind)) {
      return StopAt(item.offset, "no CBOR: a chunk of another kind");
    }
    BeginLine(item.offset);
    Judge(item);
    switch (item.kind) {
      case LenientKind::kArray:
        return Enter(item, "[", "[]", item.argument);
      case LenientKind::kMap:
        return Enter(item, "{", "{}", item.argument);
      case LenientKind::kArrayIndefinite:
        return Enter(item, "[_", "", 1);
      case LenientKind::kMapIndefinite:
        return Enter(item, "{_", "", 1);
      case LenientKind::kBytesChunks:
      case LenientKind::kTextChunks:
        return Enter(item, "(_", "", 1);
      case LenientKind::kTag:
        if (levels_.size() >= options_.max_depth) return StopAt(item.offset, "nested too deeply to go on");
        out_ += std::to_string(item.argument) + "(";
        levels_.push_back({item.kind, 1, item.argument, false, false, {}});
        return true;
      default:
        Scalar(item);
        EndItem();
        return true;
    }
  }

  static bool IsChunkOf(LenientKind level, LenientKind item) {
    return item == (level == LenientKind::kBytesChunks ? LenientKind::kBytes : LenientKind::kText);
  }

  bool ShowBreak(const LenientItem& item) {
    const bool fits = !levels_.empty() && IsIndefinite(levels_.back().kind) &&
                      (!IsMap(levels_.back().kind) || levels_.back().key_next);
    if (!fits) return StopAt(item.offset, "no CBOR: a break that ends nothing");
    Close(item.offset);
    return true;
  }

  // Opens a container; an empty one ends at once.
  bool Enter(const LenientItem& item, std::string_view open, std::string_view empty, uint64_t count) {
    if (count == 0) {
      out_ += empty;
      EndItem();
      return true;
    }
    if (levels_.size() >= options_.max_depth) return StopAt(item.offset, "nested too deeply to go on");
    out_ += open;
    EndLine();
    levels_.push_back({item.kind, count, 0, IsMap(item.kind), false, {}});
    return true;
  }

  // Closes the container that we are in; its end is at `offset`.
  void Close(size_t offset) {
    const LenientKind kind = levels_.back().kind;
    levels_.pop_back();
    BeginLine(offset);
    out_ += IsMap(kind) ? "}" : IsChunks(kind) ? ")" : "]";
    EndItem();
  }

  void CloseFullLevels() {
    while (!levels_.empty() && !IsIndefinite(levels_.back().kind) && levels_.back().remaining == 0)
      Close(reader_.offset());
  }

  // An item is complete: its tags close, and it was one of its container's.
  void EndItem() {
    while (!levels_.empty() && levels_.back().kind == LenientKind::kTag) {
      out_ += ")";
      levels_.pop_back();
    }
    if (levels_.empty()) return EndLine();
    Level& level = levels_.back();
    if (IsMap(level.kind)) {
      level.key_next = !level.key_next;
      if (!level.key_next) {
        out_ += ": ";  // the value goes on the same line
        return;
      }
    }
    if (!IsIndefinite(level.kind)) --level.remaining;
    EndLine();
  }

  // ---- judging ----

  // Notes each strict rule that `item` breaks where it stands.
  void Judge(const LenientItem& item) {
    Level* const level = levels_.empty() ? nullptr : &levels_.back();
    if (level != nullptr && level->kind == LenientKind::kTag && level->tag == kTagLink)
      return;  // judged with its tag
    if (level != nullptr && IsMap(level->kind) && level->key_next) JudgeKey(*level, item);
    if (IsContainer(item.kind) && Containers() >= kMaxDepth) Mark(item.offset, Reject::kCborTooDeep);
    Reader strict(input_.subspan(item.offset));
    uint64_t count;
    MapCursor map;
    CidView cid;
    switch (item.kind) {
      case LenientKind::kArray:
        (void)strict.ReadArrayHeader(&count);
        break;
      case LenientKind::kMap:
        (void)strict.BeginMap(&map);
        break;
      case LenientKind::kTag:
        (void)strict.ReadLink(&cid);
        break;
      default:
        (void)strict.Skip();
    }
    if (strict.error()) Mark(item.offset, *strict.error());
  }

  void JudgeKey(Level& map, const LenientItem& item) {
    if (item.kind != LenientKind::kText) return Mark(item.offset, Reject::kCborMapKeyNotText);
    const std::string_view key = AsText(item.content);
    if (key.size() > Limits().max_key_bytes) Mark(item.offset, Reject::kCborMapKeyTooLong);
    if (map.has_key && key == map.last_key) {
      Mark(item.offset, Reject::kCborMapKeyDuplicate);
    } else if (map.has_key && KeyBefore(key, map.last_key)) {
      Mark(item.offset, Reject::kCborMapKeyOrder);
    }
    map.has_key = true;
    map.last_key = key;
  }

  static bool IsContainer(LenientKind kind) {
    return kind == LenientKind::kArray || kind == LenientKind::kMap ||
           kind == LenientKind::kArrayIndefinite || kind == LenientKind::kMapIndefinite;
  }
  size_t Containers() const {
    return static_cast<size_t>(std::count_if(levels_.begin(), levels_.end(),
                                             [](const Level& level) { return IsContainer(level.kind); }));
  }

  void Mark(size_t offset, Reject reject) {
    marks_ += "  <- " + std::to_string(offset) + ": ";
    marks_ += RejectName(reject);
  }

  // ---- text ----

  void Scalar(const LenientItem& item) {
    switch (item.kind) {
      case LenientKind::kUint:
        out_ += std::to_string(item.argument);
        break;
      case LenientKind::kNegative:
        out_ +=
            item.argument == UINT64_MAX ? "-18446744073709551616" : "-" + std::to_string(item.argument + 1);
        break;
      case LenientKind::kBytes:
        out_ += "h'" + HexOf(item.content) + "'";
        break;
      case LenientKind::kText:
        ShowText(item.content);
        break;
      case LenientKind::kBool:
        out_ += item.argument != 0 ? "true" : "false";
        break;
      case LenientKind::kNull:
        out_ += "null";
        break;
      case LenientKind::kUndefined:
        out_ += "undefined";
        break;
      case LenientKind::kSimple:
        out_ += "simple(" + std::to_string(item.argument) + ")";
        break;
      default:
        ShowFloat(item);
    }
    ShowCid(item);
  }

  // The first bytes in hex, and how many there are when not all are shown.
  std::string HexOf(Bytes bytes) const {
    if (bytes.size() <= options_.max_string) return ToHex(bytes);
    return ToHex(bytes.first(options_.max_string)) + "…(" + std::to_string(bytes.size()) + " bytes)";
  }

  void ShowText(Bytes content) {
    if (!IsValidUtf8(content)) {
      out_ += "text(h'" + HexOf(content) + "')";
      return;
    }
    size_t shown = std::min(content.size(), options_.max_string);
    while (shown < content.size() && shown > 0 && (content[shown] & 0xc0) == 0x80)
      --shown;  // not within a character
    AppendJsonString(AsText(content.first(shown)), &out_);
    if (shown < content.size()) out_ += "…(" + std::to_string(content.size()) + " bytes)";
  }

  void ShowFloat(const LenientItem& item) {
    if (std::isnan(item.number)) {
      out_ += "NaN";
    } else if (std::isinf(item.number)) {
      out_ += item.number < 0 ? "-Infinity" : "Infinity";
    } else {
      char digits[32];
      const char* const end = std::to_chars(digits, digits + sizeof digits, item.number).ptr;
      const std::string_view text(digits, static_cast<size_t>(end - digits));
      out_ += text;
      if (text.find_first_of(".e") == std::string_view::npos) out_ += ".0";
    }
    // RFC 8949 8.1: _1, _2, _3 tell the encoded width.
    out_ += item.head_size == 3 ? "_1" : item.head_size == 5 ? "_2" : "_3";
  }

  // Behind the content of a link: the CID as people write it.
  void ShowCid(const LenientItem& item) {
    CidView cid;
    if (levels_.empty() || levels_.back().kind != LenientKind::kTag || levels_.back().tag != kTagLink) return;
    if (item.kind != LenientKind::kBytes || item.content.size() < 2 || item.content[0] != 0) return;
    if (CidView::Parse(item.content.subspan(1), &cid)) out_ += " / " + cid.ToString() + " /";
  }

  void BeginLine(size_t offset) {
    if (line_open_) return;
    line_open_ = true;
    const std::string digits = std::to_string(offset);
    out_.append(digits.size() < 8 ? 8 - digits.size() : 0, ' ');
    out_ += digits;
    out_.append(2 + 2 * std::min<size_t>(levels_.size(), kMaxIndent), ' ');
  }

  void EndLine() {
    if (!marks_.empty()) out_ += marks_;
    marks_.clear();
    out_ += '\n';
    line_open_ = false;
  }

  std::string Stop(std::string_view why) {
    (void)StopAt(reader_.offset(), why);
    return std::move(out_);
  }
  bool StopAt(size_t offset, std::string_view why) {
    if (line_open_) EndLine();
    BeginLine(offset);
    out_ += "/ stopped: ";
    out_ += why;
    out_ += " /";
    EndLine();
    return false;
  }

  static constexpr size_t kMaxIndent = 32;  // levels; deeper lines would hold nothing but blanks

  const Bytes input_;
  const DiagnoseOptions options_;
  LenientReader reader_;
  std::vector<Level> levels_;
  std::string out_;
  std::string marks_;  // of the line that is open
  bool line_open_ = false;
  bool trailing_ = false;
};

}  // namespace

std::string Diagnose(Bytes input, const DiagnoseOptions& options) { return Diagnosis(input, options).Run(); }

}  // namespace penstock::cbor
