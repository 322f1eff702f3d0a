#include "lexicon/catalog.h"

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lexicon/folder.h"
#include "lexicon/shipped.h"
#include "tests/lexicon/lexicon_testing.h"

namespace penstock::lexicon {
namespace {

namespace fs = std::filesystem;
using test::CatalogOf;
using test::Judge;
using test::Parsed;
using test::ThingDocument;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::string BuildError(const std::vector<std::string>& documents) {
  std::vector<Document> parsed;
  for (size_t i = 0; i < documents.size(); ++i)
    parsed.push_back(Parsed(documents[i], std::to_string(i) + ".json"));
  const auto catalog = Catalog::Build(parsed);
  return catalog.ok() ? "no error" : std::string(Message(catalog.status()));
}

std::string Other(std::string_view definitions) {
  return std::string(R"({"lexicon": 1, "id": "com.example.other", "defs": {)")
      .append(definitions)
      .append("}}");
}

TEST(LexiconCatalog, ResolvesReferencesAcrossDocumentsInAnyOrder) {
  const std::string thing =
      ThingDocument(R"("properties": {"a": {"type": "ref", "ref": "com.example.other#part"},
                                                            "b": {"type": "ref", "ref": "#own"},
                                                            "c": {"type": "ref", "ref": "com.example.other"}})",
                    R"("own": {"type": "boolean"})");
  const std::string other = Other(R"("part": {"type": "integer"}, "main": {"type": "string"})");
  for (const auto& documents : {std::vector{thing, other}, std::vector{other, thing}}) {
    const Catalog catalog = CatalogOf(documents);
    EXPECT_THAT(catalog.unresolved(), IsEmpty());
    EXPECT_EQ(Judge(catalog, R"("a": 1, "b": true, "c": "x")"), "valid");
    EXPECT_EQ(Judge(catalog, R"("a": "x")"), "lexicon_type a");
    EXPECT_EQ(Judge(catalog, R"("b": 1)"), "lexicon_type b");
    EXPECT_EQ(Judge(catalog, R"("c": 1)"), "lexicon_type c");
  }
}

TEST(LexiconCatalog, ASchemaMayReferToItself) {
  const Catalog catalog =
      CatalogOf({ThingDocument(R"("properties": {"tree": {"type": "ref", "ref": "#tree"}})",
                               R"("tree": {"type": "object", "required": ["n"], "properties": {
           "n": {"type": "integer"}, "kids": {"type": "array", "items": {"type": "ref", "ref": "#tree"}}}})")});
  EXPECT_EQ(Judge(catalog, R"("tree": {"n": 1, "kids": [{"n": 2}, {"n": 3, "kids": []}]})"), "valid");
  EXPECT_EQ(Judge(catalog, R"("tree": {"n": 1, "kids": [{"n": 2}, {"n": 3, "kids": [{}]}]})"),
            "lexicon_missing tree.kids[1].kids[0].n");
}

TEST(LexiconCatalog, RemembersReferencesThatLeadNowhere) {
  const Catalog catalog = CatalogOf({ThingDocument(R"("properties": {
      "a": {"type": "ref", "ref": "com.example.gone#part"},
      "u": {"type": "union", "refs": ["com.example.gone", "#here"]}})",
                                                   R"("here": {"type": "object"})")});
  ASSERT_EQ(catalog.unresolved().size(), 2u);
  EXPECT_EQ(
      catalog.unresolved()[0].Message(),
      "test.json: defs/main/record/properties/a: refers to \"com.example.gone#part\", which no lexicon here "
      "defines: add its file, or mend the name");
  EXPECT_EQ(catalog.unresolved()[1].target, "com.example.gone#main");
  EXPECT_EQ(Judge(catalog, ""), "valid");  // what is not there leads nowhere
  EXPECT_EQ(Judge(catalog, R"("a": {"x": [1]})"), "~lexicon_unknown a");
  EXPECT_EQ(Judge(catalog, R"("a": {"x": [1]})", {.strict = true}), "lexicon_unknown a");
  EXPECT_EQ(Judge(catalog, R"("a": {"x": [1]})", {.mode = Mode::kRequired}), "lexicon_unknown a");
  EXPECT_EQ(Judge(catalog, R"("u": {"$type": "com.example.gone"})"), "~lexicon_unknown u");
  EXPECT_EQ(Judge(catalog, R"("u": {"$type": "com.example.thing#here"})"), "valid");
}

TEST(LexiconCatalog, RefusesWhatCannotBeCompiled) {
  EXPECT_EQ(BuildError({Other(R"("a": {"type": "token"})"), Other(R"("b": {"type": "token"})")}),
            "1.json: id: \"com.example.other\" is also the id of 0.json: keep one of them");
  EXPECT_EQ(
      BuildError({ThingDocument(R"("properties": {"a": {"type": "ref", "ref": "#t"}})",
                                R"("t": {"type": "token"})")}),
      "0.json: defs/main/record/properties/a: refers to \"com.example.thing#t\", a token, which describes no "
      "data");
  EXPECT_EQ(
      BuildError({ThingDocument(R"("properties": {"a": {"type": "union", "refs": ["#s"]}})",
                                R"("s": {"type": "string"})")}),
      "0.json: defs/main/record/properties/a: lists \"com.example.thing#s\", a string, as a variant: only "
      "objects and records have a $type to tell them by");
  EXPECT_THAT(
      BuildError({ThingDocument(R"("properties": {"a": {"type": "ref", "ref": "com.example.other"}})"),
                  Other(R"("main": {"type": "query"})")}),
      HasSubstr("a query, which describes no data"));
}

TEST(LexiconCatalog, KnowsCollectionsByTheirRecords) {
  const Catalog catalog =
      CatalogOf({ThingDocument(R"("properties": {})"), Other(R"("main": {"type": "object"})")});
  EXPECT_THAT(catalog.Collections(), ElementsAre("com.example.thing"));
  EXPECT_NE(catalog.Find("com.example.thing"), nullptr);
  EXPECT_EQ(catalog.Find("com.example.other"), nullptr);  // an object, no record
  EXPECT_EQ(catalog.Find(""), nullptr);
  EXPECT_EQ(Catalog().Find("com.example.thing"), nullptr);
}

TEST(LexiconCatalog, TheShippedOnesAreWhole) {
  const std::vector<Document> documents = ShippedDocuments();
  const auto catalog = Catalog::Build(documents);
  ASSERT_TRUE(catalog.ok()) << catalog.status();
  EXPECT_THAT(catalog->unresolved(), IsEmpty());
  EXPECT_THAT(
      catalog->Collections(),
      ElementsAre("com.huddle.booking", "com.huddle.bookingRequest", "com.huddle.slotOffer",
                  "community.lexicon.calendar.event", "community.lexicon.calendar.rsvp", "sh.tangled.repo",
                  "sh.tangled.repo.collaborator", "sh.tangled.spindle", "sh.tangled.spindle.member",
                  "space.atbb.forum.board", "space.atbb.forum.category", "space.atbb.forum.forum",
                  "space.atbb.forum.role", "space.atbb.forum.theme", "space.atbb.forum.themePolicy",
                  "space.atbb.membership", "space.atbb.modAction", "space.atbb.post", "space.atbb.reaction"));
  for (const Document& document : documents) {
    const Confidence expected =
        document.nsid.starts_with("space.atbb.") || document.nsid.starts_with("sh.tangled.repo")
            ? Confidence::kReconstructed
        : document.nsid.starts_with("com.huddle.") ? Confidence::kInferred
                                                   : Confidence::kPublished;
    EXPECT_EQ(document.confidence, expected) << document.nsid;
  }
}

// The files are compiled in: the program's copy is the folder's, and each lies where its NSID says.
TEST(LexiconCatalog, TheShippedOnesAreTheFiles) {
  const auto files = LoadFolder("fixtures/lexicons");
  ASSERT_TRUE(files.ok()) << files.status();
  const std::vector<Document> shipped = ShippedDocuments();
  ASSERT_EQ(files->size(), shipped.size());
  for (size_t i = 0; i < shipped.size(); ++i) EXPECT_EQ((*files)[i].nsid, shipped[i].nsid);
}

TEST(LexiconCatalog, AnOverlayTakesThePlaceOfItsNsids) {
  std::vector<Document> base, more;
  base.push_back(Parsed(ThingDocument(R"("properties": {"a": {"type": "integer"}})"), "base"));
  base.push_back(Parsed(Other(R"("a": {"type": "token"})"), "base"));
  more.push_back(Parsed(ThingDocument(R"("properties": {"a": {"type": "string"}})"), "more"));
  const std::vector<Document> all = Overlay(std::move(base), std::move(more));
  ASSERT_EQ(all.size(), 2u);
  const auto catalog = Catalog::Build(all);
  ASSERT_TRUE(catalog.ok());
  EXPECT_EQ(Judge(*catalog, R"("a": "text")"), "valid");
}

// ---- folders ----

class LexiconFolder : public testing::Test {
 protected:
  void SetUp() override {
    root_ = fs::temp_directory_path() / ("penstock-lexicons-" + std::to_string(::getpid()));
    fs::remove_all(root_);
    fs::create_directories(root_);
  }
  void TearDown() override { fs::remove_all(root_); }

  void Write(const std::string& name, const std::string& text) {
    fs::create_directories((root_ / name).parent_path());
    std::ofstream(root_ / name) << text;
  }
  std::string Error() {
    const auto documents = LoadFolder(root_);
    return documents.ok() ? "no error" : std::string(Message(documents.status()));
  }

  fs::path root_;
};

TEST_F(LexiconFolder, LoadsFilesByTheirPath) {
  Write("com/example/thing.json", ThingDocument(R"("properties": {})"));
  Write("com/example/other.json", Other(R"("a": {"type": "token"})"));
  Write("com/example/notes.txt", "no lexicon");
  Write("_old/com/example/thing.json", "no lexicon");
  Write(".git/com/example/thing.json", "no lexicon");
  const auto documents = LoadFolder(root_);
  ASSERT_TRUE(documents.ok()) << documents.status();
  ASSERT_EQ(documents->size(), 2u);
  EXPECT_EQ((*documents)[0].nsid, "com.example.other");
  EXPECT_EQ((*documents)[1].nsid, "com.example.thing");
}

TEST_F(LexiconFolder, NamesTheFileThatIsWrong) {
  Write("com/example/thing.json", "{");
  EXPECT_THAT(Error(), HasSubstr("com/example/thing.json:1:2: the file ends in the middle of its JSON"));
  Write("com/example/thing.json", "");
  EXPECT_THAT(Error(), HasSubstr("com/example/thing.json:1:1: the file ends in the middle of its JSON"));
  Write("com/example/thing.json", std::string(kMaxDocumentBytes + 10, ' '));
  EXPECT_THAT(Error(), HasSubstr("a lexicon at most 1048576"));
  Write("com/example/thing.json", Other(R"("a": {"type": "token"})"));
  EXPECT_THAT(Error(),
              HasSubstr("com/example/thing.json: id: is \"com.example.other\", by its path it would be "
                        "\"com.example.thing\": move the file to com/example/other.json, or mend the id"));
}

TEST_F(LexiconFolder, SaysWhenThereIsNone) {
  EXPECT_TRUE(absl::IsNotFound(LoadFolder(root_ / "nowhere").status()));
  Write("file", "x");
  EXPECT_TRUE(absl::IsNotFound(LoadFolder(root_ / "file").status()));
  EXPECT_THAT(*LoadFolder(root_), IsEmpty());
}

}  // namespace
}  // namespace penstock::lexicon
