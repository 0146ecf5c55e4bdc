#include "btm/serve/service.h"

#include <gtest/gtest.h>
#include <malloc.h>

#include <cmath>

#include "compat/tokenizer/tokenizer.h"
#include "tests/btm/serve/fake_server.h"
#include "tests/support/files.h"

namespace btm {
namespace {

using btm_test::FakeExchange;
using btm_test::FakeServer;
using Json = nlohmann::json;

TEST(Service, ContinuesAText) {
  FakeServer server;
  const auto exchange = server.complete(R"({"prompt": "a b", "temperature": 0, "max_tokens": 3})");
  EXPECT_EQ(exchange->answered.status, 200);
  const Json json = exchange->json();
  EXPECT_EQ(json["object"], "text_completion");
  EXPECT_EQ(json["model"], "law");
  EXPECT_EQ(json["choices"].size(), 1U);
  EXPECT_EQ(json["choices"][0]["text"], " c d e");
  EXPECT_EQ(json["choices"][0]["finish_reason"], "length");
  EXPECT_TRUE(json["choices"][0]["logprobs"].is_null());
  EXPECT_EQ(json["usage"]["prompt_tokens"], 2);
  EXPECT_EQ(json["usage"]["completion_tokens"], 3);
  EXPECT_EQ(json["usage"]["total_tokens"], 5);
}

TEST(Service, EndsWithTheEndOfSentence) {
  FakeServer server;
  const auto json =
      server.complete(R"({"prompt": "h", "temperature": 0, "max_tokens": 9, "logprobs": 1})")
          ->json();
  const Json& choice = json["choices"][0];
  EXPECT_EQ(choice["text"], " é");
  EXPECT_EQ(choice["finish_reason"], "stop");
  EXPECT_EQ(choice["logprobs"]["tokens"], (Json{"é", "</s>"}));
  EXPECT_EQ(choice["logprobs"]["text_offset"], (Json{1, 3}));  // code points
}

/// What the harness reads: the prompt's tokens and exactly one more, also where that one is the end
/// of sentence; the first without a score; the chosen token's number among the others.
TEST(Service, EchoesAPromptWithItsScores) {
  FakeServer server;
  const auto json = server
                        .complete(R"({"prompt": [[4, 5, 9, 12], [2, 4]], "temperature": 0,
      "max_tokens": 1, "logprobs": 1, "echo": true, "seed": 1234})")
                        ->json();
  const Json& logprobs = json["choices"][0]["logprobs"];
  EXPECT_EQ(json["choices"][0]["text"], "a b f é");
  EXPECT_EQ(logprobs["tokens"], (Json{"a", "b", "f", "é", "</s>"}));
  EXPECT_EQ(logprobs["text_offset"], (Json{0, 1, 3, 5, 7}));
  EXPECT_TRUE(logprobs["token_logprobs"][0].is_null());
  EXPECT_TRUE(logprobs["top_logprobs"][0].is_null());
  EXPECT_EQ(logprobs["token_logprobs"][1], logprobs["top_logprobs"][1]["b"]);
  EXPECT_EQ(logprobs["top_logprobs"][1].size(), 1U);
  // f is not what comes after b: it stands beside the most probable one.
  EXPECT_EQ(logprobs["top_logprobs"][2].size(), 2U);
  EXPECT_EQ(logprobs["token_logprobs"][2], logprobs["top_logprobs"][2]["f"]);
  EXPECT_LT(logprobs["top_logprobs"][2]["f"], logprobs["top_logprobs"][2]["c"]);
  EXPECT_NEAR(logprobs["token_logprobs"][1].get<double>(), std::log(1 / 1.11), 1e-6);
  // The prompt that begins with the symbol of every text's beginning.
  const Json& begun = json["choices"][1]["logprobs"];
  EXPECT_EQ(begun["tokens"], (Json{"</s>", "a", "b"}));
  EXPECT_TRUE(begun["token_logprobs"][0].is_null());
  EXPECT_EQ(begun["token_logprobs"][1], begun["top_logprobs"][1]["a"]);
  EXPECT_EQ(json["usage"]["prompt_tokens"], 6);
}

TEST(Service, ScoresAPromptThatNothingFollows) {
  FakeServer server;
  const auto json =
      server.complete(R"({"prompt": ["a b c", ""], "max_tokens": 0, "logprobs": 0, "echo": true})")
          ->json();
  const Json& choice = json["choices"][0];
  EXPECT_EQ(choice["text"], "a b c");
  EXPECT_EQ(choice["finish_reason"], "length");
  EXPECT_EQ(choice["logprobs"]["tokens"].size(), 3U);
  EXPECT_EQ(choice["logprobs"]["top_logprobs"][1],
            (Json{{"b", choice["logprobs"]["token_logprobs"][1]}}));
  EXPECT_EQ(json["choices"][1]["text"], "");
  EXPECT_EQ(json["usage"]["completion_tokens"], 0);
}

TEST(Service, StopsBeforeAString) {
  FakeServer server;
  const auto json = server
                        .complete(R"({"prompt": "a", "temperature": 0, "max_tokens": 9,
      "stop": ["x", " e"], "logprobs": 1})")
                        ->json();
  const Json& choice = json["choices"][0];
  EXPECT_EQ(choice["text"], " b c d");
  EXPECT_EQ(choice["finish_reason"], "stop");
  EXPECT_EQ(choice["logprobs"]["tokens"], (Json{"b", "c", "d"}));
}

TEST(Service, WritesSeveralTextsOfAPrompt) {
  FakeServer server;
  const std::string asked = R"({"prompt": ["a", "b"], "n": 2, "max_tokens": 4, "seed": 7)";
  const auto json = server.complete(asked + "}")->json();
  ASSERT_EQ(json["choices"].size(), 4U);
  for (int i = 0; i < 4; ++i) EXPECT_EQ(json["choices"][i]["index"], i);
  EXPECT_EQ(server.complete(asked + "}")->json()["choices"], json["choices"]);
  const auto best = server.complete(asked + R"(, "best_of": 8, "logprobs": 0})")->json();
  ASSERT_EQ(best["choices"].size(), 4U);
  const auto mean = [&](int i) {
    double sum = 0;
    const Json& scores = best["choices"][i]["logprobs"]["token_logprobs"];
    for (const Json& score : scores) sum += score.get<double>();
    return sum / static_cast<double>(scores.size());
  };
  EXPECT_GE(mean(0), mean(1));
  EXPECT_EQ(best["usage"]["completion_tokens"].get<int>() > 16, true);
  const auto same = server.complete(R"({"prompt": "a", "n": 3, "temperature": 0})")->json();
  ASSERT_EQ(same["choices"].size(), 3U);
  EXPECT_EQ(same["choices"][0]["text"], same["choices"][2]["text"]);
}

TEST(Service, Streams) {
  FakeServer server;
  const auto exchange = server.complete(R"({"prompt": "f", "temperature": 0, "max_tokens": 8,
      "stream": true, "n": 2, "stream_options": {"include_usage": true}})");
  EXPECT_NE(exchange->answered.type.find("text/event-stream"), std::string::npos);
  std::vector<Json> events = exchange->events();
  EXPECT_EQ(events.back(), "done");
  events.pop_back();
  EXPECT_TRUE(events.back()["choices"].empty());
  EXPECT_EQ(events.back()["usage"]["completion_tokens"], 4);
  events.pop_back();
  std::vector<std::string> texts(2), reasons(2);
  for (const Json& event : events) {
    EXPECT_TRUE(event.at("usage").is_null());
    const Json& choice = event["choices"].at(0);
    texts[choice["index"]] += choice["text"];
    if (choice["finish_reason"].is_string()) reasons[choice["index"]] = choice["finish_reason"];
  }
  EXPECT_EQ(texts, (std::vector<std::string>{" g h é", " g h é"}));
  EXPECT_EQ(reasons, (std::vector<std::string>{"stop", "stop"}));
}

TEST(Service, StreamsWhatItSaysOtherwise) {
  FakeServer server;
  const std::string asked = R"({"prompt": "a b", "max_tokens": 6, "seed": 3, "logprobs": 2,
      "echo": true)";
  const auto whole = server.complete(asked + "}")->json()["choices"][0]["logprobs"];
  const auto exchange = server.complete(asked + R"(, "stream": true})");
  Json joined;
  for (const Json& event : exchange->events()) {
    if (event == "done") continue;
    for (const auto& [name, values] : event["choices"][0]["logprobs"].items())
      for (const Json& value : values) joined[name].push_back(value);
  }
  EXPECT_EQ(joined, whole);
}

/// --tokenizer moses: what is written changes the prompt's own text.
TEST(Service, WritesTextsThatChangeTheirPrompts) {
  compat::TokenizerOptions moses;
  moses.tokenizer = "moses";
  moses.moses_data = btm_test::golden("moses").string();
  moses.moses_target_lang = "cs";
  const compat::TextCodec codec(
      compat::Dictionary::parse("it' 9\n- 8\nmail 7\nd 6\ne 5\nf 4\ng 3\nh 2\n\u00e9 1\n", "d"),
      "d", compat::load_tokenizer(moses), "--bpe none");
  FakeServer server({1}, {}, {.api_key = {}, .positions = 100, .limits = {}}, true, codec);
  const std::string asked =
      R"({"prompt": [4, 5], "temperature": 0, "max_tokens": 2, "logprobs": 0)";
  const auto choice = [&](const std::string& more) {
    return Json(server.complete(asked + more + "}")->json()["choices"][0]);
  };
  EXPECT_EQ(choice("")["text"], "-mail d");
  const Json echoed = choice(R"(, "echo": true)");
  EXPECT_EQ(echoed["text"], "it'-mail d");
  EXPECT_EQ(echoed["logprobs"]["text_offset"], (Json{0, 3, 5, 10}));  // of "it' - mail d"
  EXPECT_EQ(choice("")["logprobs"]["text_offset"], (Json{5, 10}));
  const Json stopped = choice(R"(, "stop": " d", "echo": true)");
  EXPECT_EQ(stopped["text"], "it'-mail");
  EXPECT_EQ(stopped["logprobs"]["tokens"], (Json{"it'", "-", "mail"}));
  std::string streamed;
  for (const Json& event : server.complete(asked + R"(, "echo": true, "stream": true})")->events())
    if (event != "done") streamed += event["choices"][0]["text"].get<std::string>();
  EXPECT_EQ(streamed, "it'-mail d");
  EXPECT_EQ(server.complete(R"({"prompt": [4, 5], "max_tokens": 0, "echo": true})")
                ->json()["choices"][0]["text"],
            "it' -");
}

TEST(Service, SaysTheWeightsOfExperts) {
  FakeServer server({0.75, 0.25});
  const auto json =
      server
          .complete(R"({"prompt": "a", "temperature": 0, "max_tokens": 2, "echo": true,
      "return_posterior": true})")
          ->json();
  const Json& posterior = json["choices"][0]["posterior"];
  EXPECT_EQ(posterior["experts"], (Json{"law", "cs"}));
  ASSERT_EQ(posterior["weights"].size(), 3U);
  EXPECT_EQ(posterior["weights"][2], (Json{0.75, 0.25}));
  EXPECT_TRUE(json["choices"][0]["logprobs"].is_null());
  server.complete(R"({"prompt": "a", "model": "cs"})");
  EXPECT_TRUE(server.predictor.experts_asked.contains(1));
  const std::string metrics = server.send("GET", "/metrics")->answered.body;
  EXPECT_NE(metrics.find("btm_expert_weight_total{expert=\"law\"} "), std::string::npos) << metrics;
  EXPECT_NE(metrics.find("btm_requests_total{status=\"200\"} 2"), std::string::npos) << metrics;
}

TEST(Service, RefusesInTheProtocolsWords) {
  FakeServer server;
  struct Row {
    std::string method, target, body;
    int status;
    std::string param, words;
  };
  std::string large_answer =
      R"({"n": 128, "logprobs": 20, "echo": true, "max_tokens": 99, "prompt": )";
  large_answer += "[[4]";
  for (int i = 1; i < 16; ++i) large_answer += ", [4]";
  large_answer += "]}";
  const std::string long_prompt = R"({"max_tokens": 1, "prompt": [)" + [] {
    std::string ids = "4";
    for (int i = 0; i < 99; ++i) ids += ",4";
    return ids;
  }() + "]}";
  const std::string long_text = R"({"prompt": ")" + std::string(32769, 'x') + R"("})";
  const std::vector<Row> rows{
      {"GET", "/", "", 404, "", "nothing here"},
      {"POST", "/v1/chat/completions", "{}", 404, "", "base models"},
      {"GET", "/v1/completions", "", 405, "", "expected POST"},
      {"POST", "/v1/models", "", 405, "", "expected GET"},
      {"DELETE", "/health", "", 405, "", "expected GET"},
      {"GET", "/v1/models/gpt%2F4", "", 404, "model", "'gpt/4'"},
      {"POST", "/v1/completions", "{", 400, "", "not JSON"},
      {"POST", "/v1/completions", R"({"prompt": "a", "model": "x"})", 404, "model", "no model"},
      {"POST", "/v1/completions", R"({"prompt": [13]})", 400, "prompt", "0 to 12"},
      {"POST", "/v1/completions", R"({"prompt": [-1]})", 400, "prompt", "found -1"},
      {"POST", "/v1/completions", R"({"prompt": [1]})", 400, "prompt", "padding"},
      {"POST", "/v1/completions", long_prompt, 400, "prompt", "100 positions"},
      {"POST", "/v1/completions", R"({"prompt": "a", "max_tokens": 100})", 400, "prompt",
       "the sum is above"},
      {"POST", "/v1/completions", long_text, 400, "prompt", "has a word of 32769 bytes"},
      {"POST", "/tokenize", long_text, 400, "prompt", "has a word of 32769 bytes"},
      {"POST", "/detokenize", R"({"tokens": [13]})", 400, "tokens", "0 to 12"},
      {"POST", "/v1/completions", large_answer, 400, "logprobs", "asks for up to 4300800"},
  };
  for (const Row& row : rows) {
    const auto exchange = server.send(row.method, row.target, row.body);
    ASSERT_TRUE(exchange->done) << row.target << row.body;
    EXPECT_EQ(exchange->answered.status, row.status) << row.target << row.body;
    const Json error = exchange->json()["error"];
    EXPECT_EQ(error["param"], row.param.empty() ? Json() : Json(row.param)) << row.target;
    EXPECT_NE(error["message"].get<std::string>().find(row.words), std::string::npos)
        << error["message"];
  }
  EXPECT_EQ(server.complete(R"({"prompt": "a", "max_tokens": 99})")->answered.status, 200);
}

TEST(Service, AsksForItsKey) {
  FakeServer server({1}, {}, {.api_key = "secret", .positions = 100, .limits = {}});
  for (const std::string key : {"", "secret", "Bearer ", "Bearer secre", "Bearer secret "})
    EXPECT_EQ(server.send("GET", "/v1/models", "", key)->answered.status, 401) << key;
  EXPECT_EQ(server.send("GET", "/v1/models", "", "Bearer secret")->answered.status, 200);
  EXPECT_EQ(server.send("GET", "/health")->answered.status, 200);
  FakeServer open;
  EXPECT_EQ(open.send("GET", "/v1/models", "", "Bearer ")->answered.status, 200);
}

TEST(Service, SpeaksOfItsModelsAndItsTokenizer) {
  FakeServer server({0.5, 0.5});
  const Json list = server.send("GET", "/v1/models")->json();
  ASSERT_EQ(list["data"].size(), 3U);
  EXPECT_EQ(list["data"][0]["id"], "ensemble");
  EXPECT_EQ(list["data"][0]["experts"], (Json{"law", "cs"}));
  EXPECT_EQ(server.send("GET", "/v1/models/cs")->json()["id"], "cs");
  const Json info = server.send("GET", "/tokenizer_info")->json();
  EXPECT_EQ(info["eos_token"], "</s>");
  EXPECT_EQ(info["bos_token"], "</s>");
  EXPECT_TRUE(info["chat_template"].is_null());
  EXPECT_EQ(server.send("POST", "/tokenize", R"({"prompt": "a b é"})")->json()["tokens"],
            (Json{4, 5, 12}));
  EXPECT_EQ(server.send("POST", "/tokenize", R"({"prompt": "</s>"})")->json()["tokens"], Json{2});
  EXPECT_EQ(server.send("POST", "/tokenize", R"({"prompt": "a", "add_special_tokens": true})")
                ->json()["tokens"],
            (Json{2, 4}));
  EXPECT_EQ(server.send("POST", "/detokenize", R"({"tokens": [2, 4, 12]})")->json()["prompt"],
            "a é");
}

TEST(Service, RefusesMoreThanTheQueueHolds) {
  EngineLimits limits;
  limits.jobs = 2;
  FakeServer server({1}, limits, {.api_key = {}, .positions = 100, .limits = {}}, false);
  const std::string body = R"({"prompt": "a"})";
  const auto first = server.send("POST", "/v1/completions", body);
  const auto second = server.send("POST", "/v1/completions", body);
  const auto third = server.send("POST", "/v1/completions", body);
  EXPECT_FALSE(first->done || second->done);
  EXPECT_EQ(third->answered.status, 429);
  EXPECT_EQ(third->answered.headers.at(0).first, "Retry-After");
  server.start();
  server.wait(*second);
  EXPECT_EQ(second->answered.status, 200);
  EXPECT_EQ(server.complete(body)->answered.status, 200);
}

/// What waits takes the memory of its tokens, not that of its body.
TEST(Service, KeepsNoTextOfRequestsThatWait) {
  FakeServer server({1}, {}, {.api_key = {}, .positions = 100, .limits = {}}, false);
  const auto taken = [] {
    const struct mallinfo2 memory = ::mallinfo2();
    return static_cast<std::int64_t>(memory.uordblks + memory.hblkhd);
  };
  constexpr std::size_t kBody = std::size_t{1} << 20;
  const std::string body = R"({"prompt": "a", "user": ")" + std::string(kBody, ' ') + R"("})";
  const std::int64_t before = taken();
  std::vector<std::shared_ptr<FakeExchange>> sent;
  for (int i = 0; i < 4; ++i) sent.push_back(server.send("POST", "/v1/completions", body));
  EXPECT_LT(taken() - before, static_cast<std::int64_t>(kBody));
  server.start();
  for (const auto& exchange : sent) server.wait(*exchange);
  EXPECT_EQ(sent[3]->json()["usage"]["prompt_tokens"], 1);
}

TEST(Service, RefusesAnswersWithTooManyWeights) {
  RequestLimits limits;
  limits.readouts = 100;
  FakeServer server({0.5, 0.5}, {}, {.api_key = {}, .positions = 100, .limits = limits});
  const auto ask = [&](const std::string& tokens) {
    return server.complete(R"({"prompt": "a", "return_posterior": true, "max_tokens": )" + tokens +
                           "}");
  };
  EXPECT_EQ(ask("50")->answered.status, 200);
  const auto refused = ask("51");
  EXPECT_EQ(refused->answered.status, 400);
  EXPECT_EQ(refused->json()["error"]["param"], "return_posterior");
}

/// It chooses the most probable token; the numbers are those of the temperature all the same.
TEST(Service, HeatsTheScoresOfATopPOfZero) {
  FakeServer server;
  const auto json = server
                        .complete(R"({"prompt": "a", "max_tokens": 1, "top_p": 0, "logprobs": 1,
      "temperature": 2})")
                        ->json();
  const Json& logprobs = json["choices"][0]["logprobs"];
  EXPECT_EQ(logprobs["tokens"], Json{"b"});
  const double expected = std::log(1 / (1 + 11 * std::sqrt(0.01)));
  EXPECT_NEAR(logprobs["token_logprobs"][0].get<double>(), expected, 1e-6);
}

TEST(Service, DropsWorkOfClientsThatLeft) {
  FakeServer server({1}, {}, {.api_key = {}, .positions = 100, .limits = {}}, false);
  const auto left = server.send("POST", "/v1/completions", R"({"prompt": "a", "stream": true})");
  server.give_up();
  server.start();
  server.complete(R"({"prompt": "a"})");
  EXPECT_FALSE(left->done);
  EXPECT_EQ(server.predictor.open_rows(), 0U);
  EXPECT_NE(server.log.at(0).find("the client left"), std::string::npos);
}

TEST(Service, EndsRequestsThatTakeTooLong) {
  FakeServer server({1}, {}, {.api_key = {}, .positions = 100, .request_seconds = 0, .limits = {}});
  const auto exchange = server.complete(R"({"prompt": "a"})");
  EXPECT_EQ(exchange->answered.status, 504);
  EXPECT_EQ(exchange->json()["error"]["type"], "server_error");
}

TEST(Service, GoesOnAfterARequestForWhichThereIsNoMemory) {
  FakeServer server;
  server.predictor.out_of_memory = true;
  EXPECT_EQ(server.complete(R"({"prompt": "a"})")->answered.status, 500);
  server.predictor.out_of_memory = false;
  EXPECT_EQ(server.complete(R"({"prompt": "a"})")->answered.status, 200);
}

/// A model that gives NaN for one text: only the request of this text fails.
TEST(Service, FailsTheRequestOfAModelsFaultAlone) {
  FakeServer server({1}, {}, {.api_key = {}, .positions = 100, .limits = {}}, false);
  server.predictor.poison = 11;  // h
  std::vector<std::shared_ptr<FakeExchange>> sent;
  for (const char* const prompt : {"a", "e", "b", "h"})  // h follows soon, not at all, or is there
    sent.push_back(server.send(
        "POST", "/v1/completions",
        std::string(R"({"temperature": 0, "max_tokens": 5, "prompt": ")") + prompt + "\"}"));
  server.start();
  for (const auto& exchange : sent) server.wait(*exchange);
  EXPECT_EQ(sent[0]->json()["choices"][0]["text"], " b c d e f") << sent[0]->answered.body;
  EXPECT_EQ(sent[2]->json()["choices"][0]["text"], " c d e f g");
  for (const std::size_t i : {1, 3}) {
    EXPECT_EQ(sent[i]->answered.status, 500);
    EXPECT_EQ(sent[i]->json()["error"]["message"], "gives NaN");
  }
  EXPECT_EQ(server.predictor.open_rows(), 0U);
  EXPECT_NE(server.log.at(0).find(", gives NaN"), std::string::npos) << server.log[0];
}

TEST(Service, LogsARequestInALine) {
  FakeServer server;
  server.complete(R"({"prompt": "a"})");
  server.complete(R"({"prompt": ["a", "b"]})");
  server.complete(R"({"prompt": "a", "model": "x\n'y'"})");
  EXPECT_NE(server.log.at(0).find(", 1 prompt, "), std::string::npos) << server.log[0];
  EXPECT_NE(server.log.at(1).find(", 2 prompts, "), std::string::npos) << server.log[1];
  server.complete(R"({"max_tokens": 1})");
  EXPECT_NE(server.log.at(3).find("'prompt'"), std::string::npos) << server.log[3];
  EXPECT_EQ(server.log.at(3).find('\\'), std::string::npos) << server.log[3];
  for (const std::string& line : server.log) EXPECT_EQ(line.find('\n'), std::string::npos) << line;
}

TEST(Service, EndsAStreamOfWhichAPartIsLost) {
  FakeServer server({1}, {}, {.api_key = {}, .positions = 100, .limits = {}}, false);
  const auto lost = server.send("POST", "/v1/completions", R"({"prompt": "a", "stream": true})");
  lost->failures = 1;
  server.start();
  server.wait(*lost);
  ASSERT_EQ(lost->parts.size(), 1U);
  EXPECT_NE(lost->parts[0].find("the server failed"), std::string::npos);
  EXPECT_EQ(server.complete(R"({"prompt": "a"})")->answered.status, 200);
}

TEST(Service, RefusesNewWorkOnceItIsStopped) {
  FakeServer server;
  server.service.refuse_new();
  EXPECT_EQ(server.send("POST", "/v1/completions", R"({"prompt": "a"})")->answered.status, 503);
  EXPECT_EQ(server.send("GET", "/health")->answered.status, 503);
}

/// Each of many requests at once gets what it gets alone.
TEST(Service, MixesUpNothing) {
  EngineLimits limits;
  limits.generate = {.batch = 7, .prompt_tokens = 5, .prefixes = 3};
  FakeServer server({0.5, 0.5}, limits);
  std::vector<std::string> bodies;
  const std::string letters = "abcdefgh";
  for (int i = 0; i < 64; ++i) {
    std::string prompt;
    for (int k = 0; k <= i % 9; ++k) prompt += std::string(1, letters[(i * k + i) % 8]) + " ";
    bodies.push_back(R"({"prompt": ")" + prompt + R"(", "seed": )" + std::to_string(i) +
                     R"(, "max_tokens": )" + std::to_string(i % 11) + R"(, "temperature": )" +
                     (i % 3 == 0 ? "0" : "0.8") +
                     (i % 2 == 0 ? R"(, "echo": true, "logprobs": 2})" : "}"));
  }
  std::vector<std::shared_ptr<FakeExchange>> together;
  for (const std::string& body : bodies)
    together.push_back(server.send("POST", "/v1/completions", body));
  for (const auto& exchange : together) server.wait(*exchange);
  for (std::size_t i = 0; i < bodies.size(); ++i) {
    const Json alone = server.complete(bodies[i])->json();
    EXPECT_EQ(together[i]->json()["choices"], alone["choices"]) << bodies[i];
    EXPECT_EQ(together[i]->json()["usage"], alone["usage"]) << bodies[i];
  }
}

}  // namespace
}  // namespace btm
