#include "btm/distributed/expert_groups.h"

#include <gtest/gtest.h>

#include "btm/distributed/communicator.h"
#include "compat/base/error.h"
#include "tests/support/expect_error.h"

namespace {

using btm::DemixOptions;
using btm_test::expect_error;
using compat::UsageError;
using Groups = std::vector<std::vector<int>>;

DemixOptions demix(const std::string& sync_type, const std::string& groups,
                   const std::string& untied) {
  return {true, true, sync_type, groups, untied};
}

TEST(ParseRankGroups, ReadsTheForksList) {
  EXPECT_EQ(btm::parse_rank_groups("0,1 2,3", 4), (Groups{{0, 1}, {2, 3}}));
  EXPECT_EQ(btm::parse_rank_groups("3,0  1 2", 4), (Groups{{0, 3}, {1}, {2}}));
  EXPECT_EQ(btm::parse_rank_groups(" 0 ", 1), (Groups{{0}}));
}

TEST(ParseRankGroups, RefusesWhatIsNoPartition) {
  const std::pair<const char*, const char*> cases[] = {
      {"", "lacks rank 0"},
      {"0,1 2", "lacks rank 3"},
      {"0,1 1,2,3", "names rank 1 twice"},
      {"0,1 2,4", "names rank 4, the run has ranks 0 to 3"},
      {"0,1 2,-3", "names rank -3"},
      {"0;1 2,3", "is not of the form"},
      {"0,1, 2,3", "is not of the form"},
      {"a 1 2 3", "is not of the form"},
      {"0,1\n2,3", "is not of the form"},
      {"0,99999999999 1 2 3", "is not of the form"}};
  for (const auto& [text, phrase] : cases)
    expect_error<UsageError>([&] { btm::parse_rank_groups(text, 4); }, phrase);
}

TEST(IsUntied, ChoosesParametersAsTheForkDoes) {
  const std::string fc = "decoder.layers.1.fc1.weight",
                    attention = "decoder.layers.0.self_attn.k_proj.bias",
                    norm = "decoder.layer_norm.weight", embedding = "decoder.embed_tokens.weight",
                    output = "decoder.output_projection.weight";
  struct Case {
    const char* what;
    bool fc, attention, norm, embedding, output;
  };
  for (const Case& one : {Case{"feedforward", true, false, false, false, false},
                          Case{"feedforward_l2", false, false, false, false, false},
                          Case{"feedforward_top", true, false, false, false, false},
                          Case{"transformer", true, true, false, false, false},
                          Case{"transformer_l2", false, true, false, false, false},
                          Case{"transformer_output", true, true, false, false, true},
                          Case{"input_output", false, false, false, true, true},
                          Case{"all", true, true, true, true, true}}) {
    EXPECT_EQ(btm::is_untied(one.what, fc, 2), one.fc) << one.what;
    EXPECT_EQ(btm::is_untied(one.what, attention, 2), one.attention) << one.what;
    EXPECT_EQ(btm::is_untied(one.what, norm, 2), one.norm) << one.what;
    EXPECT_EQ(btm::is_untied(one.what, embedding, 2), one.embedding) << one.what;
    EXPECT_EQ(btm::is_untied(one.what, output, 2), one.output) << one.what;
  }
  EXPECT_TRUE(btm::is_untied("feedforward_l2", "decoder.layers.21.fc2.bias",
                             24));  // by substring, as in fairseq
  EXPECT_FALSE(btm::is_untied("feedforward_l2", "decoder.layers.11.fc2.bias", 12));
}

TEST(CheckDemixOptions, RefusesWhatTheForkDoesNotKnow) {
  btm::check_demix_options({});
  btm::check_demix_options(demix("none", "", "feedforward"));
  btm::check_demix_options(demix("manual", "0 1", "transformer"));
  const std::pair<DemixOptions, const char*> cases[] = {
      {demix("", "0 1", "feedforward"), "needs --sync-type none or manual, found ''"},
      {demix("random", "0 1", "feedforward"), "found 'random'"},
      {demix("manual", "", "feedforward"), "--sync-type manual needs --data-parallel-groups"},
      {demix("none", "", ""), "needs --untie-parameters, one of feedforward, "},
      {demix("none", "", "attention"), "found 'attention'"},
      {{false, true, "", "", "feedforward"}, "need --desynchronize"}};
  for (const auto& [options, phrase] : cases)
    expect_error<UsageError>([&] { btm::check_demix_options(options); }, phrase);
  expect_error<compat::UnsupportedError>(
      [&] { btm::check_demix_options(demix("none", "", "expert_ffn")); }, "expert_ffn");
}

TEST(ExpertGroups, OfOneProcessAreTheProcess) {
  const auto world = btm::single_process();
  btm::ExpertGroups groups(demix("none", "", "feedforward"), 2, *world);
  EXPECT_TRUE(groups.is_expert("decoder.layers.0.fc1.weight"));
  EXPECT_EQ(groups.group_of("decoder.layers.0.fc1.weight").size(), 1);
  EXPECT_EQ(&groups.group_of("decoder.layer_norm.bias"), world.get());
  EXPECT_DOUBLE_EQ(groups.combined_norm(3, 4), 5);
}

}  // namespace
