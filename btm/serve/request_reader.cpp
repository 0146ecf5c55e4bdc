#include "btm/serve/request_reader.h"

#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "btm/serve/protocol_error.h"
#include "compat/base/concat.h"
#include "compat/base/error.h"
#include "compat/base/numbers.h"
#include "compat/io/json_text.h"

namespace btm {
namespace {

using Json = nlohmann::json;

constexpr std::int64_t kMostTokens = std::int64_t{1} << 31;
constexpr double kCoolest = 0.01, kHottest = 100;  // divided logits stay finite

/// A value in a message: numbers and texts as they are, others by their kind.
std::string shown(const Json& value) {
  if (value.is_string()) return "'" + compat::printable(value.get_ref<const std::string&>()) + "'";
  if (value.is_number() || value.is_boolean() || value.is_null()) return value.dump();
  return value.is_array() ? "a list" : "an object";
}

[[noreturn]] void refuse(const std::string& name, const std::string& expected, const Json& found) {
  throw bad_field(name, "expected " + expected + ", found " + shown(found));
}

/// The fields of a body. A field that is null is as one that is not there.
class Fields {
 public:
  explicit Fields(std::string_view body) : json_(compat::parse_json(body)) {
    if (json_.is_discarded()) {
      const std::string limit = compat::json_limit_passed(body);
      throw ProtocolError(400, limit.empty() ? "the body is not JSON" : "the body " + limit);
    }
    if (!json_.is_object())
      throw ProtocolError(400, "the body: expected a JSON object, found " + shown(json_));
  }
  explicit Fields(Json json) : json_(std::move(json)) {}

  const Json* find(const std::string& name) const {
    const auto found = json_.find(name);
    return found == json_.end() || found->is_null() ? nullptr : &*found;
  }

  void read(const std::string& name, bool& value) const {
    const Json* const found = find(name);
    if (found == nullptr) return;
    if (!found->is_boolean()) refuse(name, "true or false", *found);
    value = found->get<bool>();
  }

  void read(const std::string& name, std::int64_t& value, std::int64_t least,
            std::int64_t most) const {
    const Json* const found = find(name);
    if (found == nullptr) return;
    const std::string expected = compat::concat("an integer from ", least, " to ", most);
    if (!is_integer(*found)) refuse(name, expected, *found);
    const auto number = found->get<std::int64_t>();
    if (number < least || number > most) refuse(name, expected, *found);
    value = number;
  }

  void read(const std::string& name, double& value, double least, double most) const {
    const Json* const found = find(name);
    if (found == nullptr) return;
    const std::string expected =
        "a number from " + compat::shortest(least) + " to " + compat::shortest(most);
    if (!found->is_number()) refuse(name, expected, *found);
    const double number = found->get<double>();
    if (!(number >= least && number <= most)) refuse(name, expected, *found);
    value = number;
  }

  /// An integer that std::int64_t holds.
  static bool is_integer(const Json& value) {
    if (!value.is_number_integer()) return false;
    return !value.is_number_unsigned() ||
           value.get<std::uint64_t>() <= static_cast<std::uint64_t>(INT64_MAX);
  }

 private:
  Json json_;
};

std::vector<std::int64_t> read_ids(const std::string& name, const Json& list) {
  std::vector<std::int64_t> ids;
  ids.reserve(list.size());
  for (const Json& id : list) {
    if (!Fields::is_integer(id)) refuse(name, "token ids", id);
    ids.push_back(id.get<std::int64_t>());
  }
  return ids;
}

std::vector<PromptInput> read_prompts(const Json* prompt, std::int64_t most) {
  constexpr const char* kExpected = "a text, a list of texts, a list of ids, or a list of those";
  if (prompt == nullptr)
    throw bad_field("prompt", compat::concat("is missing, expected ", kExpected));
  if (prompt->is_string()) return {prompt->get<std::string>()};
  if (!prompt->is_array()) refuse("prompt", kExpected, *prompt);
  if (prompt->empty()) throw bad_field("prompt", "is an empty list");
  if (prompt->front().is_number()) return {read_ids("prompt", *prompt)};
  if (static_cast<std::int64_t>(prompt->size()) > most)
    throw bad_field("prompt",
                    compat::concat("has ", prompt->size(), " prompts, expected at most ", most));
  std::vector<PromptInput> prompts;
  for (const Json& one : *prompt) {
    if (one.type() != prompt->front().type() || !(one.is_string() || one.is_array()))
      refuse("prompt", kExpected, one);
    if (one.is_string())
      prompts.emplace_back(one.get<std::string>());
    else
      prompts.emplace_back(read_ids("prompt", one));
  }
  return prompts;
}

/// A list of up to `most` texts, or one.
std::vector<std::string> read_texts(const std::string& name, const Json* list, const char* expected,
                                    std::size_t most) {
  std::vector<std::string> texts;
  if (list == nullptr) return texts;
  if (list->is_string()) return {list->get<std::string>()};
  if (!list->is_array()) refuse(name, expected, *list);
  if (list->size() > most)
    throw bad_field(name, compat::concat("has ", list->size(), " texts, expected at most ", most));
  for (const Json& one : *list) {
    if (!one.is_string()) refuse(name, expected, one);
    texts.push_back(one.get<std::string>());
  }
  return texts;
}

std::vector<std::string> read_stops(const Json* stop, const RequestLimits& limits) {
  std::vector<std::string> stops = read_texts("stop", stop, "a list of texts", limits.stops);
  for (const std::string& one : stops)
    if (one.empty() || one.size() > limits.stop_bytes)
      throw bad_field("stop", compat::concat("expected texts of 1 to ", limits.stop_bytes,
                                             " bytes, found one of ", one.size()));
  return stops;
}

void check_name(const std::string& field, const std::string& name, const RequestLimits& limits) {
  if (name.size() > limits.name_bytes)
    throw bad_field(field, "there is no expert '" + compat::printable(name) + "'");
}

std::vector<std::string> read_names(const std::string& field, const Json* list,
                                    const RequestLimits& limits) {
  std::vector<std::string> names = read_texts(field, list, "a list of names", limits.experts);
  if (list != nullptr && names.empty()) throw bad_field(field, "is an empty list");
  for (const std::string& name : names) check_name(field, name, limits);
  return names;
}

/// Names alone, or an object with the weight of each.
void read_experts(const Json* experts, const RequestLimits& limits, MixtureRequest& mixture) {
  if (experts == nullptr) return;
  if (!experts->is_object()) {
    mixture.experts = read_names("experts", experts, limits);
    return;
  }
  if (experts->size() > limits.experts)
    throw bad_field("experts", compat::concat("has ", experts->size(), " names, expected at most ",
                                              limits.experts));
  double sum = 0;
  for (const auto& [name, weight] : experts->items()) {
    if (!weight.is_number()) refuse("experts", "a weight for each name", weight);
    const double value = weight.get<double>();
    if (!(value >= 0) || !std::isfinite(value)) refuse("experts", "weights of 0 or more", weight);
    check_name("experts", name, limits);
    mixture.experts.push_back(name);
    mixture.prior.push_back(value);
    sum += value;
  }
  if (!(sum > 0) || !std::isfinite(sum))
    throw bad_field("experts", "expected weights with a sum above 0");
}

MixtureRequest read_mixture(const Fields& fields, const RequestLimits& limits) {
  MixtureRequest mixture;
  if (const Json* const rule = fields.find("posterior")) {
    if (rule->is_string()) mixture.posterior = posterior_rule_of(rule->get<std::string>());
    if (!mixture.posterior) refuse("posterior", "'last', 'full' or 'none'", *rule);
  }
  read_experts(fields.find("experts"), limits, mixture);
  mixture.without = read_names("without", fields.find("without"), limits);
  if (!mixture.experts.empty() && !mixture.without.empty())
    throw bad_field("without", "expected either 'experts' or 'without'");
  if (fields.find("top_experts")) fields.read("top_experts", mixture.top, 1, kMostTokens);
  return mixture;
}

/// What the protocol has and this server lacks, unless it asks for nothing.
void refuse_what_is_lacking(const Fields& fields) {
  const auto lacks = [](const std::string& name) {
    throw bad_field(name, "this server does not support it");
  };
  for (const char* const name : {"frequency_penalty", "presence_penalty"}) {
    const Json* const value = fields.find(name);
    if (value != nullptr && !(value->is_number() && value->get<double>() == 0)) lacks(name);
  }
  if (const Json* const bias = fields.find("logit_bias"); bias != nullptr && !bias->empty())
    lacks("logit_bias");
  if (const Json* const suffix = fields.find("suffix"); suffix != nullptr)
    if (!suffix->is_string() || !suffix->get_ref<const std::string&>().empty()) lacks("suffix");
}

void read_stream(const Fields& fields, CompletionRequest& request) {
  fields.read("stream", request.stream);
  const Json* const options = fields.find("stream_options");
  if (options == nullptr) return;
  if (!options->is_object()) refuse("stream_options", "an object", *options);
  if (!request.stream) throw bad_field("stream_options", "needs 'stream': true");
  Fields(*options).read("include_usage", request.include_usage);
}

void read_sampling(const Fields& fields, const RequestLimits& limits, CompletionRequest& request) {
  fields.read("temperature", request.temperature, 0, kHottest);
  if (request.temperature > 0 && request.temperature < kCoolest)
    throw bad_field("temperature", "expected 0, or a number from 0.01 on");
  fields.read("top_p", request.top_p, 0, 1);
  fields.read("n", request.n, 1, limits.texts);
  request.best_of = request.n;
  fields.read("best_of", request.best_of, 1, limits.texts);
  if (request.best_of < request.n) throw bad_field("best_of", "is less than 'n'");
  if (request.best_of > request.n && request.stream)
    throw bad_field("best_of", "a stream cannot wait for the best: expected as many as 'n'");
  if (const Json* const seed = fields.find("seed")) {
    if (!seed->is_number_integer()) refuse("seed", "an integer", *seed);
    request.seed = seed->is_number_unsigned()
                       ? seed->get<std::uint64_t>()
                       : static_cast<std::uint64_t>(seed->get<std::int64_t>());
  }
}

}  // namespace

std::string ProtocolError::type() const {
  if (status_ == 429) return "rate_limit_error";
  if (status_ == 401) return "authentication_error";
  return status_ >= 500 ? "server_error" : "invalid_request_error";
}

CompletionRequest read_completion_request(std::string_view body, const RequestLimits& limits) {
  const Fields fields(body);
  CompletionRequest request;
  if (const Json* const model = fields.find("model")) {
    if (!model->is_string()) refuse("model", "a name", *model);
    request.model = model->get<std::string>();
  }
  request.prompts = read_prompts(fields.find("prompt"), limits.prompts);
  fields.read("max_tokens", request.max_tokens, 0, kMostTokens);
  fields.read("echo", request.echo);
  read_stream(fields, request);
  read_sampling(fields, limits, request);
  if (static_cast<std::int64_t>(request.prompts.size()) * request.best_of > limits.prompts)
    throw bad_field("best_of", compat::concat("asks for more than ", limits.prompts,
                                              " texts of all prompts together"));
  request.stop = read_stops(fields.find("stop"), limits);
  if (fields.find("logprobs") != nullptr)
    fields.read("logprobs", request.logprobs.emplace(), 0, limits.logprobs);
  fields.read("return_posterior", request.return_posterior);
  request.mixture = read_mixture(fields, limits);
  refuse_what_is_lacking(fields);
  return request;
}

TokenizeRequest read_tokenize_request(std::string_view body) {
  const Fields fields(body);
  const Json* const prompt = fields.find("prompt");
  if (prompt == nullptr) throw bad_field("prompt", "is missing, expected a text");
  if (!prompt->is_string()) refuse("prompt", "a text", *prompt);
  TokenizeRequest request{prompt->get<std::string>()};
  fields.read("add_special_tokens", request.add_special_tokens);
  return request;
}

std::vector<std::int64_t> read_detokenize_request(std::string_view body) {
  const Fields fields(body);
  const Json* const tokens = fields.find("tokens");
  if (tokens == nullptr) throw bad_field("tokens", "is missing, expected a list of ids");
  if (!tokens->is_array()) refuse("tokens", "a list of ids", *tokens);
  return read_ids("tokens", *tokens);
}

}  // namespace btm
