#include "btm/report/routing_page.h"

#include <gtest/gtest.h>

#include <functional>
#include <nlohmann/json.hpp>

#include "compat/base/error.h"
#include "tests/support/expect_error.h"
#include "tests/support/files.h"

namespace btm {
namespace {

using nlohmann::json;

RoutingPicture picture() {
  return {"m.pt",
          "top2",
          {"law", "perl"},
          {"a", "<u>"},
          {1, 3},
          {70, 80},
          {{{0.25, 0.75}, {0.5, 0.5}}, {{1, 0}, {0.125, 0.875}}}};
}

std::string written(const btm_test::TempDir& folder) {
  write_routing(folder.path(), picture());
  return btm_test::read_file(folder / "routing.json");
}

TEST(RoutingPage, IsReadAsItWasWritten) {
  const btm_test::TempDir folder;
  written(folder);
  const RoutingPicture read = read_routing(folder / "routing.json");
  EXPECT_EQ(read.model, "m.pt");
  EXPECT_EQ(read.routing, "top2");
  EXPECT_EQ(read.domains, picture().domains);
  EXPECT_EQ(read.experts, picture().experts);
  EXPECT_EQ(read.layers, picture().layers);
  EXPECT_EQ(read.tokens, picture().tokens);
  EXPECT_EQ(read.shares, picture().shares);
}

TEST(RoutingPage, ShowsTheMeanAndEachLayer) {
  HtmlPage page("t");
  add_routing(page, picture());
  const std::string html = page.html();
  for (const char* phrase : {">37.5</td>", "Layer 1", "Layer 3", "&lt;u&gt;"})
    EXPECT_NE(html.find(phrase), std::string::npos) << phrase;
  EXPECT_EQ(html.find("<u>"), std::string::npos);
}

TEST(RoutingPage, RefusesAFileThatIsNone) {
  const btm_test::TempDir folder;
  const std::string good = written(folder);
  const auto refused = [&](const std::string& phrase, const std::function<void(json&)>& change) {
    json object = json::parse(good);
    change(object);
    btm_test::expect_error<compat::FormatError>(
        [&] { routing_of_text(object.dump(), "routing.json"); }, phrase);
  };
  refused("routing.json: is not the result of btm routing", [](json& o) { o = json::object(); });
  refused("routing.json", [](json& o) { o = json::array(); });
  refused("experts", [](json& o) { o.erase("experts"); });
  refused("is not the result", [](json& o) { o["layers"] = {"one"}; });
  refused("shares", [](json& o) { o["domains"][0].erase("shares"); });
  refused("is not the result", [](json& o) { o["domains"][0]["shares"][0][0] = "half"; });
  refused("it has shares of 1 layers, expected 2",
          [](json& o) { o["domains"][1]["shares"].erase(0); });
  refused("it has shares of 1 experts, expected 2",
          [](json& o) { o["domains"][1]["shares"][1].erase(0); });
  btm_test::expect_error<compat::FormatError>([] { routing_of_text("{", "routing.json"); },
                                              "routing.json");
}

}  // namespace
}  // namespace btm
