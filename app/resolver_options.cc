#include "app/resolver_options.h"

#include <fstream>
#include <utility>

#include "base/status.h"

namespace penstock::app {

struct Identities::Parts {
  std::unique_ptr<identity::Resolver> resolver;
  std::unique_ptr<sync::HostStatusAsker> host_status;
};

Identities::Identities() : parts_(std::make_unique<Parts>()) {}
Identities::~Identities() = default;
Identities::Identities(Identities&&) noexcept = default;
Identities& Identities::operator=(Identities&&) noexcept = default;
identity::Resolver* Identities::resolver() const { return parts_->resolver.get(); }
sync::HostStatusAsker* Identities::host_status() const { return parts_->host_status.get(); }

void ResolverFlags::Bind(CLI::App* verb) {
  verb->add_option("--did-docs", did_docs,
                   "Identities from a file instead of the network: NDJSON {\"did\",\"doc\",\"from_seq\"}; one for all sources, or "
                   "one per FILE; #MEMBER picks one where from_seq is an object")
      ->type_name("FILE[#MEMBER]…");
}

absl::Status LoadDidDocs(const std::string& argument, const std::string& source, identity::RecordedResolver* resolver) {
  const size_t hash = argument.rfind('#');
  identity::RecordedResolver::Scope scope;
  scope.source = source;
  if (hash != std::string::npos) scope.member = argument.substr(hash + 1);
  const std::string path = argument.substr(0, hash);
  std::ifstream file(path, std::ios::binary);
  if (!file) return InvalidInputError("--did-docs: cannot read " + path);
  return resolver->Load(file, path, scope);
}

absl::StatusOr<Identities> ResolverFlags::Make(const pipeline::PipelineOptions& options,
                                               const std::vector<std::string>& sources) const {
  Identities identities;
  if (options.verify == repo::Verification::kCid) return identities;
  if (!did_docs.empty()) {
    auto recorded = std::make_unique<identity::RecordedResolver>();
    const bool each = did_docs.size() > 1;
    if (each && did_docs.size() != sources.size()) {
      return InvalidInputError("--did-docs: one file for all sources, or one for each recorded file, in their order");
    }
    for (size_t i = 0; i < did_docs.size(); ++i) {
      RETURN_IF_ERROR(LoadDidDocs(did_docs[i], each ? sources[i] : std::string(), recorded.get()));
    }
    identities.parts_->resolver = std::move(recorded);
    return identities;
  }
  return InvalidInputError("no resolver");
}

}  // namespace penstock::app
