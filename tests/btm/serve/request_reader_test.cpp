#include "btm/serve/request_reader.h"

#include <gtest/gtest.h>

#include "btm/serve/protocol_error.h"

namespace btm {
namespace {

using Ids = std::vector<std::int64_t>;

TEST(RequestReader, HasTheProtocolsDefaults) {
  const CompletionRequest request = read_completion_request(R"({"prompt": "To be"})");
  EXPECT_EQ(std::get<std::string>(request.prompts.at(0)), "To be");
  EXPECT_FALSE(request.model);
  EXPECT_EQ(request.max_tokens, 16);
  EXPECT_EQ(request.temperature, 1);
  EXPECT_EQ(request.top_p, 1);
  EXPECT_EQ(request.n, 1);
  EXPECT_EQ(request.best_of, 1);
  EXPECT_FALSE(request.seed || request.logprobs || request.echo || request.stream);
  EXPECT_TRUE(request.stop.empty());
  EXPECT_FALSE(request.mixture.chooses());
}

TEST(RequestReader, ReadsEveryField) {
  const CompletionRequest request = read_completion_request(R"({"model": "m", "prompt": ["a", "b"],
    "max_tokens": 0, "temperature": 0, "top_p": 0.5, "n": 2, "best_of": 3, "stop": "x",
    "seed": -1, "logprobs": 5, "echo": true, "return_posterior": true, "posterior": "full",
    "without": ["law"], "top_experts": 2, "suffix": null, "logit_bias": {}, "user": 7,
    "presence_penalty": 0, "frequency_penalty": 0.0, "some_new_field": [1]})");
  EXPECT_EQ(request.model, "m");
  EXPECT_EQ(request.prompts.size(), 2U);
  EXPECT_EQ(request.max_tokens, 0);
  EXPECT_EQ(request.temperature, 0);
  EXPECT_EQ(request.best_of, 3);
  EXPECT_EQ(request.stop, std::vector<std::string>{"x"});
  EXPECT_EQ(request.seed, UINT64_MAX);
  EXPECT_EQ(request.logprobs, 5);
  EXPECT_TRUE(request.echo && request.return_posterior);
  EXPECT_EQ(request.mixture.posterior, PosteriorRule::kFull);
  EXPECT_EQ(request.mixture.without, std::vector<std::string>{"law"});
  EXPECT_EQ(request.mixture.top, 2);
}

TEST(RequestReader, TakesPromptsInFourForms) {
  EXPECT_EQ(std::get<Ids>(read_completion_request(R"({"prompt": [4, 5]})").prompts.at(0)),
            (Ids{4, 5}));
  const auto lists = read_completion_request(R"({"prompt": [[4], [], [6, 7]]})").prompts;
  ASSERT_EQ(lists.size(), 3U);
  EXPECT_EQ(std::get<Ids>(lists[2]), (Ids{6, 7}));
  EXPECT_TRUE(std::get<Ids>(lists[1]).empty());
  EXPECT_EQ(read_completion_request(R"({"prompt": ["", "x"]})").prompts.size(), 2U);
}

TEST(RequestReader, TakesFieldsThatAreNullAsLeftOut) {
  const CompletionRequest request = read_completion_request(
      R"({"prompt": "a", "max_tokens": null, "n": null, "stop": null, "stream": null,
          "temperature": null, "logprobs": null, "seed": null, "stream_options": null})");
  EXPECT_EQ(request.max_tokens, 16);
  EXPECT_FALSE(request.logprobs);
}

TEST(RequestReader, TakesWeightsOfExperts) {
  const MixtureRequest mixture =
      read_completion_request(R"({"prompt": "a", "experts": {"b": 0.5, "a": 2}})").mixture;
  EXPECT_EQ(mixture.experts, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(mixture.prior, (std::vector<double>{2, 0.5}));
}

TEST(RequestReader, AsksForUsageOfAStream) {
  EXPECT_TRUE(read_completion_request(
                  R"({"prompt": "a", "stream": true, "stream_options": {"include_usage": true}})")
                  .include_usage);
}

struct Bad {
  std::string body, param, words;
};

TEST(RequestReader, SaysWhichFieldIsWrong) {
  const std::string deep = R"({"prompt": )" + std::string(600, '[') + std::string(600, ']') + "}";
  const std::vector<Bad> table{
      {"", "", "is not JSON"},
      {"{", "", "is not JSON"},
      {"[]", "", "expected a JSON object, found a list"},
      {"null", "", "expected a JSON object, found null"},
      {R"({"prompt": "\ud800"})", "", "is not JSON"},
      {"{\"prompt\": \"\xff\"}", "", "is not JSON"},
      {R"({"prompt": 1e999})", "", "is not JSON"},
      {R"({"prompt": "a"} x)", "", "is not JSON"},
      {deep, "", "512 levels"},
      {"{}", "prompt", "is missing"},
      {R"({"prompt": 5})", "prompt", "found 5"},
      {R"({"prompt": {}})", "prompt", "found an object"},
      {R"({"prompt": []})", "prompt", "empty list"},
      {R"({"prompt": [1.5]})", "prompt", "found 1.5"},
      {R"({"prompt": [4, "a"]})", "prompt", "found 'a'"},
      {R"({"prompt": ["a", 4]})", "prompt", "found 4"},
      {R"({"prompt": ["a", [4]]})", "prompt", "found a list"},
      {R"({"prompt": [[4], "a"]})", "prompt", "found 'a'"},
      {R"({"prompt": [null]})", "prompt", "found null"},
      {R"({"prompt": [[[4]]]})", "prompt", "found a list"},
      {R"({"prompt": [99999999999999999999]})", "prompt", "token ids"},
      {R"({"prompt": [18446744073709551615]})", "prompt", "token ids"},
      {R"({"prompt": "a", "max_tokens": -1})", "max_tokens", "from 0 to"},
      {R"({"prompt": "a", "max_tokens": 1.5})", "max_tokens", "found 1.5"},
      {R"({"prompt": "a", "max_tokens": "5"})", "max_tokens", "found '5'"},
      {R"({"prompt": "a", "max_tokens": 18446744073709551615})", "max_tokens", "an integer"},
      {R"({"prompt": "a", "max_tokens": true})", "max_tokens", "found true"},
      {R"({"prompt": "a", "temperature": -0.1})", "temperature", "from 0 to 100"},
      {R"({"prompt": "a", "temperature": 1e-30})", "temperature", "from 0.01 on"},
      {R"({"prompt": "a", "temperature": "hot"})", "temperature", "found 'hot'"},
      {R"({"prompt": "a", "top_p": 1.1})", "top_p", "from 0 to 1"},
      {R"({"prompt": "a", "n": 0})", "n", "from 1 to 128"},
      {R"({"prompt": "a", "n": 129})", "n", "from 1 to 128"},
      {R"({"prompt": "a", "n": 3, "best_of": 2})", "best_of", "less than 'n'"},
      {R"({"prompt": "a", "best_of": 2, "stream": true})", "best_of", "stream"},
      {R"({"prompt": "a", "stop": ""})", "stop", "1 to 1024 bytes"},
      {R"({"prompt": "a", "stop": ["a", 1]})", "stop", "found 1"},
      {R"({"prompt": "a", "stop": {}})", "stop", "found an object"},
      {R"({"prompt": "a", "seed": 1.5})", "seed", "an integer"},
      {R"({"prompt": "a", "logprobs": true})", "logprobs", "found true"},
      {R"({"prompt": "a", "logprobs": 21})", "logprobs", "from 0 to 20"},
      {R"({"prompt": "a", "echo": 1})", "echo", "true or false"},
      {R"({"prompt": "a", "stream": "yes"})", "stream", "true or false"},
      {R"({"prompt": "a", "stream_options": {}})", "stream_options", "needs 'stream'"},
      {R"({"prompt": "a", "stream": true, "stream_options": 1})", "stream_options", "an object"},
      {R"({"prompt": "a", "suffix": "b"})", "suffix", "does not support"},
      {R"({"prompt": "a", "logit_bias": {"5": 1}})", "logit_bias", "does not support"},
      {R"({"prompt": "a", "presence_penalty": 0.1})", "presence_penalty", "does not support"},
      {R"({"prompt": "a", "frequency_penalty": "0"})", "frequency_penalty", "does not support"},
      {R"({"prompt": "a", "model": 5})", "model", "a name"},
      {R"({"prompt": "a", "posterior": "first"})", "posterior", "'last', 'full' or 'none'"},
      {R"({"prompt": "a", "experts": []})", "experts", "empty list"},
      {R"({"prompt": "a", "experts": {"a": -1}})", "experts", "0 or more"},
      {R"({"prompt": "a", "experts": {"a": 0}})", "experts", "above 0"},
      {R"({"prompt": "a", "experts": ["a"], "without": ["b"]})", "without", "either"},
      {R"({"prompt": "a", "top_experts": 0})", "top_experts", "from 1"},
  };
  for (const Bad& bad : table) try {
      read_completion_request(bad.body);
      ADD_FAILURE() << bad.body << " was accepted";
    } catch (const ProtocolError& error) {
      EXPECT_EQ(error.status(), 400) << bad.body;
      EXPECT_EQ(error.param(), bad.param) << bad.body;
      EXPECT_EQ(error.type(), "invalid_request_error");
      EXPECT_NE(std::string(error.what()).find(bad.words), std::string::npos)
          << bad.body << ": " << error.what();
    }
}

TEST(RequestReader, LimitsWhatARequestMayHold) {
  RequestLimits limits;
  limits.prompts = 2;
  limits.stops = 1;
  EXPECT_THROW(read_completion_request(R"({"prompt": ["a", "b", "c"]})", limits), ProtocolError);
  EXPECT_THROW(read_completion_request(R"({"prompt": "a", "stop": ["a", "b"]})", limits),
               ProtocolError);
  EXPECT_THROW(read_completion_request(R"({"prompt": ["a", "b"], "n": 2})", limits), ProtocolError);
  limits.experts = 2;
  limits.name_bytes = 3;
  const auto names = [&](const std::string& given) {
    return read_completion_request(R"({"prompt": "a", )" + given + "}", limits).mixture;
  };
  EXPECT_EQ(names(R"("without": ["law", "cs"])").without.size(), 2U);
  for (const char* const given :
       {R"("without": ["cs", "cs", "cs"])", R"("experts": ["cs", "cs", "cs"])",
        R"("experts": {"a": 1, "b": 1, "c": 1})", R"("without": "laws")", R"("experts": ["laws"])",
        R"("experts": {"laws": 1})"})
    EXPECT_THROW(names(given), ProtocolError) << given;
}

TEST(RequestReader, ReadsTextsAndIdsOfTheTokenizer) {
  const TokenizeRequest request =
      read_tokenize_request(R"({"prompt": "a b", "add_special_tokens": true})");
  EXPECT_EQ(request.prompt, "a b");
  EXPECT_TRUE(request.add_special_tokens);
  EXPECT_EQ(read_detokenize_request(R"({"tokens": [4, 5]})"), (Ids{4, 5}));
  for (const char* const body :
       {"{}", R"({"prompt": 5})", R"({"prompt": "a", "add_special_tokens": 1})"})
    EXPECT_THROW(read_tokenize_request(body), ProtocolError) << body;
  for (const char* const body : {"{}", R"({"tokens": "a"})", R"({"tokens": [4, "a"]})"})
    EXPECT_THROW(read_detokenize_request(body), ProtocolError) << body;
}

TEST(ProtocolError, SaysWhetherRepeatingHelps) {
  EXPECT_TRUE(ProtocolError(429, "").worth_repeating());
  EXPECT_FALSE(ProtocolError(400, "").worth_repeating());
  EXPECT_EQ(ProtocolError(429, "").type(), "rate_limit_error");
  EXPECT_EQ(ProtocolError(401, "").type(), "authentication_error");
  EXPECT_EQ(ProtocolError(500, "").type(), "server_error");
}

}  // namespace
}  // namespace btm
