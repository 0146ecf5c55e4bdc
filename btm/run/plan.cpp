#include "btm/run/plan.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <map>

#include "btm/cluster/cluster_notes.h"
#include "btm/run/plan_file.h"
#include "compat/base/byte_reader.h"
#include "compat/base/concat.h"
#include "compat/base/nearest_name.h"
#include "compat/base/numbers.h"
#include "compat/base/text.h"
#include "compat/io/mapped_file.h"
#include "compat/program/command_line.h"

namespace btm {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kDomain = "{domain}";
constexpr std::size_t kLongestName = 200;  ///< Bytes: a step's record adds an ending to it.
constexpr double kMostHeldOut = 0.4;       ///< For valid, and as much for test.

/// What was expected. The reader adds file, line and key.
struct BadValue {
  std::string expected;
};

std::int64_t integer(const std::string& value, std::int64_t lowest) {
  const auto number = compat::number_of<std::int64_t>(value);
  if (!number || *number < lowest)
    throw BadValue{compat::concat("an integer of at least ", lowest)};
  return *number;
}

double real(const std::string& value, double lowest, double highest, const std::string& expected) {
  const auto number = compat::number_of<double>(value);
  if (!number || !(*number >= lowest && *number <= highest)) throw BadValue{expected};
  return *number;
}

bool boolean(const std::string& value) {
  if (value == "yes" || value == "true") return true;
  if (value == "no" || value == "false") return false;
  throw BadValue{"yes or no"};
}

std::vector<std::string> words(const std::string& value) {
  std::vector<std::string> parts;
  for (const std::string_view word : compat::split_whitespace(value)) parts.emplace_back(word);
  return parts;
}

/// Parts between commas, blanks around them removed.
std::vector<std::string> list(const std::string& value) {
  std::vector<std::string> parts;
  for (std::size_t from = 0; from <= value.size();) {
    const std::size_t comma = std::min(value.find(',', from), value.size());
    const std::vector<std::string> inside = words(value.substr(from, comma - from));
    if (inside.size() != 1) throw BadValue{"names separated by commas"};
    parts.push_back(inside.front());
    from = comma + 1;
  }
  return parts;
}

using Setter = std::function<void(const std::string& value)>;
using Keys = std::map<std::string, Setter>;

class PlanReader {
 public:
  PlanReader(const fs::path& file, const std::vector<std::string>& cluster_names)
      : folder_(file.parent_path()), name_(file.string()), cluster_names_(cluster_names) {
    plan_.file = file;
  }

  Plan read(std::string_view text) {
    for (const PlanSection& section : parse_plan_file(text, name_)) read_section(section);
    finish();
    return std::move(plan_);
  }

 private:
  fs::path path(const std::string& value) const {
    if (value.empty()) throw BadValue{"a path"};
    return fs::absolute(folder_ / value).lexically_normal();
  }

  Setter to_path(fs::path& field) {
    return [this, &field](const std::string& value) { field = path(value); };
  }
  static Setter to_integer(std::int64_t& field, std::int64_t lowest) {
    return [&field, lowest](const std::string& value) { field = integer(value, lowest); };
  }
  static Setter to_share(double& field) {
    return [&field](const std::string& value) { field = real(value, 0, 1, "a share from 0 to 1"); };
  }
  static Setter to_flag(bool& field) {
    return [&field](const std::string& value) { field = boolean(value); };
  }
  static Setter to_words(std::vector<std::string>& field) {
    return [&field](const std::string& value) { field = words(value); };
  }
  static Setter to_choice(std::string& field, std::vector<std::string> choices) {
    return [&field, choices = std::move(choices)](const std::string& value) {
      if (std::ranges::find(choices, value) == choices.end())
        throw BadValue{compat::join(choices, " or ")};
      field = value;
    };
  }
  static double learning_rate(const std::string& value) {
    return real(value, 0, std::numeric_limits<double>::max(), "a number of at least 0");
  }
  static Setter to_text(std::string& field) {
    return [&field](const std::string& value) {
      if (value.empty()) throw BadValue{"a name"};
      field = value;
    };
  }

  Keys& keys_of(const PlanSection& section) {
    const auto found = sections_.find(section.kind);
    if (found == sections_.end()) {
      std::vector<std::string> names;
      for (const auto& [name, keys] : sections_) names.push_back(name);
      const std::string near = compat::nearest_name(section.kind, names);
      throw plan_error(name_, section.line,
                       "unknown section [" + section.kind + "]" +
                           (near.empty() ? "" : ", did you mean [" + near + "]?"));
    }
    return found->second;
  }

  void read_section(const PlanSection& section) { apply(section, keys_of(section)); }

  void apply(const PlanSection& section, const Keys& keys) {
    for (const PlanEntry& entry : section.entries) {
      const auto found = keys.find(entry.key);
      if (found == keys.end()) {
        std::vector<std::string> names;
        for (const auto& [name, setter] : keys) names.push_back(name);
        const std::string near = compat::nearest_name(entry.key, names);
        throw plan_error(name_, entry.line,
                         "unknown key '" + entry.key + "' of [" + section.kind + "]" +
                             (near.empty() ? "" : ", did you mean " + near + "?"));
      }
      lines_[section.kind + " " + entry.key] = entry.line;
      try {
        found->second(entry.value);
      } catch (const BadValue& bad) {
        throw plan_error(
            name_, entry.line,
            entry.key + " is '" + compat::printable(entry.value) + "', expected " + bad.expected);
      }
    }
  }

  [[noreturn]] void fail(const std::string& problem) const {
    throw compat::FormatError({name_, {}, {}}, problem);
  }

  /// fail() with the line of an entry, where the plan has it.
  [[noreturn]] void fail_at(const std::string& section, const std::string& key,
                            const std::string& problem) const {
    const auto line = lines_.find(section + " " + key);
    if (line == lines_.end()) fail("[" + section + "] " + problem);
    throw plan_error(name_, line->second, "[" + section + "] " + problem);
  }

  void finish();
  void check_corpus();
  void check_domains();
  void check_domain_names();
  void check_held_out();
  void check_experts();
  void check_along_run() const;
  void set_ensembles(const std::vector<std::string>& names);

  fs::path folder_;
  std::string name_;
  const std::vector<std::string>& cluster_names_;
  std::map<std::string, std::int64_t> lines_;  ///< Of "SECTION KEY".
  fs::path text_;
  Plan plan_;
  std::map<std::string, Keys> sections_{
      {"run", {{"output", to_path(plan_.output)}}},
      {"data",
       {{"bin", to_path(plan_.data_bin)},
        {"corpus", to_path(plan_.corpus)},
        {"held_out", to_share(plan_.text_held_out)},
        {"domains", [this](const std::string& value) { plan_.domains = list(value); }},
        {"text", to_path(text_)},
        {"train", to_path(plan_.train)},
        {"valid", to_path(plan_.valid)},
        {"test", to_path(plan_.test)}}},
      {"clusters",
       {{"number", to_integer(plan_.clusters, 2)},
        {"balanced", to_flag(plan_.clusters_balanced)},
        {"names", [this](const std::string& value) { plan_.cluster_names = list(value); }},
        {"held_out", to_share(plan_.held_out)},
        {"flags", to_words(plan_.cluster_flags)}}},
      {"tokeniser",
       {{"model", to_path(plan_.tokenizer_model)},
        {"vocab_size", to_integer(plan_.vocab_size, 16)}}},
      {"model",
       {{"arch", to_text(plan_.arch)},
        {"tokens_per_sample", to_integer(plan_.tokens_per_sample, 1)},
        {"flags", to_words(plan_.model_flags)}}},
      {"train",
       {{"updates", to_integer(plan_.updates, 2)},
        {"seed_share", to_share(plan_.seed_share)},
        {"batch_size", to_integer(plan_.batch_size, 1)},
        {"update_freq", to_integer(plan_.update_freq, 1)},
        {"lr", [this](const std::string& value) { plan_.lr = learning_rate(value); }},
        {"warmup_share", to_share(plan_.warmup_share)},
        {"log_interval", to_integer(plan_.log_interval, 1)},
        {"seed_domains", [this](const std::string& value) { plan_.seed_domains = list(value); }},
        {"seed", to_integer(plan_.seed, 0)},
        {"flags", to_words(plan_.train_flags)}}},
      {"experts",
       {{"domains", [this](const std::string& value) { plan_.experts = list(value); }},
        {"dense", to_flag(plan_.dense)},
        {"average", to_flag(plan_.average)},
        {"along_run", to_integer(plan_.along_run, 0)},
        {"tune", to_integer(plan_.tune, 0)},
        {"tune_flags", to_words(plan_.tune_flags)}}},
      {"mix",
       {{"updates", to_integer(plan_.mix.updates, 0)},
        {"router", to_choice(plan_.mix.router, {"random", "domain", "posterior"})},
        {"moe_router", to_choice(plan_.mix.moe_router, {"top1", "top2", "soft"})},
        {"train", to_choice(plan_.mix.train, {"routers", "all"})},
        {"lr", [this](const std::string& value) { plan_.mix.lr = learning_rate(value); }},
        {"flags", to_words(plan_.mix.flags)},
        {"train_flags", to_words(plan_.mix.train_flags)}}},
      {"evaluate",
       {{"ensembles", [this](const std::string& value) { set_ensembles(list(value)); }},
        {"split", to_text(plan_.split)},
        {"prior_batches", to_integer(plan_.prior_batches, 1)},
        {"flags", to_words(plan_.eval_flags)}}},
      {"generate",
       {{"prompts", to_path(plan_.prompts)}, {"flags", to_words(plan_.generate_flags)}}},
      {"slurm", {{"gpus", to_integer(plan_.gpus, 0)}, {"flags", to_words(plan_.slurm_flags)}}},
  };
};

void PlanReader::finish() {
  if (plan_.output.empty()) plan_.output = path(plan_.file.stem().string() + "-out");
  check_corpus();
  check_domains();
  check_experts();
  if (plan_.updates == 0) fail("[train] has no key updates");
  if (plan_.seed_updates() < 1 || plan_.seed_updates() >= plan_.updates)
    fail(compat::concat("seed_share of ", plan_.updates, " updates is ", plan_.seed_updates(),
                        ", expected at least 1 update before and after the branch"));
  check_along_run();
}

/// The baseline's own run begins where the seed model ends.
void PlanReader::check_along_run() const {
  if (plan_.along_run == 0) return;
  if (!plan_.dense) fail("[experts] along_run averages checkpoints of the baseline: dense is no");
  const std::int64_t kept =
      plan_.updates / plan_.save_interval() - plan_.seed_updates() / plan_.save_interval();
  if (plan_.along_run > kept)
    fail(compat::concat("[experts] along_run is ", plan_.along_run, ", and the baseline has ", kept,
                        " checkpoints after the seed phase, one every ", plan_.save_interval(),
                        " updates"));
}

/// A corpus without labels: its clusters are the domains.
void PlanReader::check_corpus() {
  if (!plan_.has_corpus()) {
    if (plan_.clusters > 0 || !plan_.cluster_flags.empty())
      fail("[clusters] needs corpus = FILE in [data]");
    return;
  }
  if (!plan_.domains.empty() || !text_.empty() || !plan_.train.empty() || !plan_.valid.empty() ||
      !plan_.test.empty() || !plan_.data_bin.empty() || plan_.has_text_held_out())
    fail("[data] has a corpus without labels and other data, expected one of them");
  constexpr std::int64_t kMost = 1000;
  if (plan_.clusters == 0) fail("[clusters] has no key number");
  if (plan_.clusters > kMost) fail(compat::concat("[clusters] has more than ", kMost));
  if (!(plan_.held_out > 0 && plan_.held_out <= kMostHeldOut))
    fail("[clusters] held_out is not above 0 and at most 0.4");
  plan_.has_own_cluster_names = !plan_.cluster_names.empty();
  if (!plan_.has_own_cluster_names)
    plan_.cluster_names =
        cluster_names_.empty() ? named_clusters(plan_.output, plan_.clusters) : cluster_names_;
  plan_.domains = plan_.cluster_names;
  if (!plan_.domains.empty() && plan_.domains.size() != static_cast<std::size_t>(plan_.clusters))
    fail(compat::concat("[clusters] has ", plan_.domains.size(), " names for ", plan_.clusters,
                        " clusters"));
  // A name such as c1 tells the cluster of an expert.
  for (std::size_t i = 0; i < plan_.domains.size(); ++i)
    if (const std::string& name = plan_.domains[i];
        name != "c" + std::to_string(i) && name.size() > 1 && name.front() == 'c' &&
        name.find_first_not_of("0123456789", 1) == std::string::npos)
      fail(compat::concat("[clusters] cluster ", i, " is named ", name,
                          ", which is the name of another"));
  for (std::int64_t i = 0; plan_.cluster_names.empty() && i < plan_.clusters; ++i)
    plan_.domains.push_back("c" + std::to_string(i));
}

void PlanReader::check_domains() {
  if (plan_.domains.size() < 2)
    fail(compat::concat("has ", plan_.domains.size(),
                        " domains, expected two or more (domains = A, B, ... in [data])"));
  check_domain_names();
  if (!text_.empty())
    for (const auto& [field, name] : {std::pair{&plan_.train, "train.txt"},
                                      {&plan_.valid, "valid.txt"},
                                      {&plan_.test, "test.txt"}})
      if (field->empty()) *field = text_ / name;
  const bool has_text = !plan_.train.empty() || !plan_.valid.empty() || !plan_.test.empty();
  if (!plan_.data_bin.empty() && has_text)
    fail("[data] has both a data-bin and text, expected one of them");
  if (plan_.has_text_held_out()) check_held_out();
  if (!plan_.data_bin.empty() || plan_.has_corpus()) return;
  for (const auto& [field, name] :
       {std::pair{&plan_.train, "train"}, {&plan_.valid, "valid"}, {&plan_.test, "test"}}) {
    if (field->empty() && plan_.has_text_held_out() && field != &plan_.train) continue;
    if (field->empty())
      fail(std::string("[data] has no ") + name +
           ", expected text = FOLDER/{domain}, or train, valid and test (or train and held_out = "
           "0.05, its share for each of the others), or bin");
    if (field->string().find(kDomain) == std::string::npos)
      fail(std::string("[data] ") + name +
           " is the same file for all domains, expected {domain} in it");
  }
}

void PlanReader::check_domain_names() {
  const bool are_clusters = plan_.has_corpus();
  const auto refuse = [&](const std::string& domain, const std::string& problem) {
    fail_at(are_clusters ? "clusters" : "data", are_clusters ? "names" : "domains",
            "domain '" + compat::printable(domain) + "' " + problem);
  };
  for (const std::string& domain : plan_.domains) {
    if (std::ranges::count(plan_.domains, domain) > 1) refuse(domain, "is repeated");
    if (!is_domain_name(domain))
      refuse(domain, "is not a name of a folder, expected letters, digits, '_', '-' and '.'");
    if (domain == "dict.txt" || domain == "forest.json")
      refuse(domain, "has the name of a file that the run makes");
  }
}

void PlanReader::check_held_out() {
  if (!plan_.data_bin.empty() || !plan_.valid.empty() || !plan_.test.empty())
    fail("[data] held_out goes with train alone, expected neither text, valid, test nor bin");
  if (plan_.text_held_out > kMostHeldOut) fail("[data] held_out is above 0.4");
}

void PlanReader::check_experts() {
  if (plan_.experts.empty()) plan_.experts = plan_.domains;
  for (const std::string& expert : plan_.experts) {
    const auto refuse = [&](const std::string& problem) {
      fail_at("experts", "domains", "names domain '" + compat::printable(expert) + "'" + problem);
    };
    if (std::ranges::find(plan_.domains, expert) == plan_.domains.end())
      refuse(", which the plan does not have");
    if (std::ranges::count(plan_.experts, expert) > 1) refuse(" twice");
    if (is_row_of_run(plan_, expert))
      refuse(", but the table has another row of that name; expected another name for the domain");
  }
  if (plan_.seed_domains == std::vector<std::string>{kAllDomains}) return;
  for (const std::string& domain : plan_.seed_domains)
    if (std::ranges::find(plan_.domains, domain) == plan_.domains.end() ||
        std::ranges::count(plan_.seed_domains, domain) > 1)
      fail("seed_domains names '" + compat::printable(domain) +
           "', expected different domains of the plan, or all");
}

void PlanReader::set_ensembles(const std::vector<std::string>& names) {
  plan_.ensembles.clear();
  for (const std::string& name : names) {
    const auto type = model_ensemble_type_of(name);
    if (!type)
      fail_at(
          "evaluate", "ensembles",
          "names ensemble '" + compat::printable(name) + "', expected " + model_ensemble_types());
    if (std::ranges::find(plan_.ensembles, *type) != plan_.ensembles.end())
      fail_at("evaluate", "ensembles", "names ensemble '" + compat::printable(name) + "' twice");
    plan_.ensembles.push_back(*type);
  }
}

}  // namespace

bool is_domain_name(std::string_view name) {
  // Separators of lists, of NAME=FILE, of paths and of patterns; blanks.
  constexpr std::string_view kSeparators = "/:=,*?[]{}\\'\" ";
  if (name.empty() || name.size() > kLongestName || name.front() == '.' || name.front() == '-' ||
      name.find_first_of(kSeparators) != std::string_view::npos ||
      compat::without_controls(name) != name)
    return false;
  for (std::size_t i = 0; i + 1 < name.size(); ++i)  // U+0080 to U+009F
    if (name[i] == '\xC2' && static_cast<unsigned char>(name[i + 1]) < 0xA0) return false;
  return true;
}

bool is_row_of_run(const Plan& plan, std::string_view name) {
  return name == "seed" || (plan.dense && name == "dense") || (plan.average && name == "average") ||
         (plan.mix.wanted() && name == "mixture");
}

fs::path Plan::of_domain(const fs::path& pattern, const std::string& domain) {
  std::string text = pattern.string();
  for (std::size_t at = text.find(kDomain); at != std::string::npos;
       at = text.find(kDomain, at + domain.size()))
    text.replace(at, kDomain.size(), domain);
  return text;
}

std::int64_t Plan::seed_updates() const {
  return std::llround(seed_share * static_cast<double>(updates));
}

std::int64_t Plan::save_interval() const { return std::max<std::int64_t>(1, updates / 10); }

std::int64_t Plan::shown_log_interval() const {
  constexpr std::int64_t kPoints = 20, kUsual = 50;
  if (log_interval > 0) return log_interval;
  return std::clamp<std::int64_t>(std::min(seed_updates(), updates - seed_updates()) / kPoints, 1,
                                  kUsual);
}

Plan parse_plan(std::string_view text, const fs::path& file,
                const std::vector<std::string>& cluster_names) {
  return PlanReader(file, cluster_names).read(text);
}

Plan load_plan(const fs::path& file, const std::vector<std::string>& cluster_names) {
  const auto mapped = compat::MappedFile::open(file);
  return parse_plan(compat::as_chars(mapped->bytes()), file, cluster_names);
}

std::vector<std::string> named_clusters(const fs::path& output, std::int64_t clusters) {
  const auto given = given_cluster_names((output / "clusters/model").string());
  if (!given || given->names.size() != static_cast<std::size_t>(clusters)) return {};
  return given->names;
}

}  // namespace btm
