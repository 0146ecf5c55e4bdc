#include "btm/distributed/rendezvous.h"

#include <gtest/gtest.h>

#include <map>

#include "compat/base/error.h"
#include "tests/support/expect_error.h"

namespace {

using btm::DistributedOptions;
using btm::Rendezvous;
using btm_test::expect_error;
using compat::UsageError;
using Variables = std::map<std::string, std::string>;

Rendezvous found(const DistributedOptions& options, const Variables& variables) {
  return btm::find_rendezvous(options, [&](const char* name) -> std::optional<std::string> {
    const auto variable = variables.find(name);
    return variable == variables.end() ? std::nullopt
                                       : std::optional<std::string>(variable->second);
  });
}

TEST(Rendezvous, IsOneProcessWithoutFlagsAndVariables) {
  const Rendezvous place = found({}, {});
  EXPECT_EQ(place.size, 1);
  EXPECT_EQ(place.rank, 0);
  EXPECT_EQ(place.spawn, 0);
}

TEST(Rendezvous, StartsTheRanksOfThisMachine) {
  DistributedOptions options;
  options.world_size = 4;
  const Rendezvous place = found(options, {});
  EXPECT_EQ(place.spawn, 4);
  EXPECT_EQ(place.size, 4);
  EXPECT_EQ(place.host, "127.0.0.1");
  EXPECT_EQ(place.port, 0);
  options.port = 12345;
  EXPECT_EQ(found(options, {}).port, 12345);
}

TEST(Rendezvous, TakesTorchrunsVariables) {
  DistributedOptions options;
  options.world_size = 8;  // torchrun's value counts, as in fairseq
  Variables variables{{"MASTER_ADDR", "head"},
                      {"MASTER_PORT", "29500"},
                      {"WORLD_SIZE", "4"},
                      {"RANK", "3"},
                      {"LOCAL_RANK", "1"}};
  Rendezvous place = found(options, variables);
  EXPECT_EQ(place.host, "head");
  EXPECT_EQ(place.port, 29500);
  EXPECT_EQ(place.size, 4);
  EXPECT_EQ(place.rank, 3);
  EXPECT_EQ(place.local_rank, 1);
  EXPECT_EQ(place.spawn, 0);
  EXPECT_FALSE(place.agent_store);
  variables["TORCHELASTIC_USE_AGENT_STORE"] = "True";
  variables["TORCHELASTIC_RESTART_COUNT"] = "2";
  place = found(options, variables);
  EXPECT_TRUE(place.agent_store);
  EXPECT_EQ(place.store_prefix, "attempt2");
}

TEST(Rendezvous, TakesAStepOfSlurm) {
  const Variables variables{
      {"SLURM_JOB_ID", "41"},        {"SLURM_STEP_ID", "0"}, {"SLURM_STEP_NODELIST", "gpu[07-09]"},
      {"SLURM_STEP_NUM_TASKS", "6"}, {"SLURM_NTASKS", "9"},  {"SLURM_PROCID", "5"},
      {"SLURM_LOCALID", "1"}};
  DistributedOptions options;
  options.port = 12121;
  Rendezvous place = found(options, variables);
  EXPECT_EQ(place.host, "gpu07");
  EXPECT_EQ(place.port, 12121);
  EXPECT_EQ(place.size, 6);
  EXPECT_EQ(place.rank, 5);
  EXPECT_EQ(place.local_rank, 1);
  EXPECT_EQ(place.spawn, 0);
  options.port = -1;
  EXPECT_EQ(found(options, variables).port, 20000 + 41 * 7);
  options.world_size = 24;  // four ranks in each task
  place = found(options, variables);
  EXPECT_EQ(place.size, 24);
  EXPECT_EQ(place.rank, 20);
  EXPECT_EQ(place.spawn, 4);
  options.world_size = 8;
  expect_error<UsageError>([&] { found(options, variables); },
                           "8 in a Slurm step of 6 tasks, expected a multiple");
}

TEST(Rendezvous, IsNotMisledByABatchScriptOfSlurm) {
  // Outside srun there is one process, for any number of tasks of the job.
  DistributedOptions options;
  options.world_size = 2;
  const Rendezvous place = found(options, {{"SLURM_JOB_ID", "41"},
                                           {"SLURM_NTASKS", "2"},
                                           {"SLURM_PROCID", "0"},
                                           {"SLURM_NODELIST", "a"}});
  EXPECT_EQ(place.spawn, 2);
}

TEST(Rendezvous, TakesAnAddress) {
  DistributedOptions options;
  options.init_method = "tcp://[fe80::1]:77";
  options.world_size = 16;
  options.rank = 8;
  Rendezvous place = found(options, {});
  EXPECT_EQ(place.host, "fe80::1");
  EXPECT_EQ(place.port, 77);
  EXPECT_EQ(place.rank, 8);
  EXPECT_EQ(place.spawn, 0);
  options.nprocs_per_node = 8;
  EXPECT_EQ(found(options, {}).spawn, 8);
  options.no_spawn = true;
  options.device_id = 3;
  place = found(options, {});
  EXPECT_EQ(place.spawn, 0);
  EXPECT_EQ(place.local_rank, 3);
}

TEST(Rendezvous, PutsALaunchedRankWhereItWasPut) {
  DistributedOptions options;
  options.init_method = "tcp://head:77";
  options.world_size = 16;
  options.rank = 8;
  options.nprocs_per_node = 8;
  const Rendezvous place = found(options, {{btm::kLaunched, "1"},
                                           {"MASTER_ADDR", "head"},
                                           {"MASTER_PORT", "77"},
                                           {"WORLD_SIZE", "16"},
                                           {"RANK", "11"},
                                           {"LOCAL_RANK", "3"}});
  EXPECT_EQ(place.rank, 11);
  EXPECT_EQ(place.spawn, 0);
}

TEST(Rendezvous, RefusesWhatContradictsItself) {
  struct Case {
    DistributedOptions options;
    Variables variables;
    const char* phrase;
  };
  const auto with = [](auto change) {
    DistributedOptions options;
    change(options);
    return options;
  };
  const Variables torchrun{
      {"MASTER_ADDR", "h"}, {"MASTER_PORT", "1"}, {"WORLD_SIZE", "2"}, {"RANK", "0"}};
  const auto changed = [&](const char* name, const char* value) {
    Variables variables = torchrun;
    variables[name] = value;
    return variables;
  };
  const DistributedOptions none;
  const Case cases[] = {
      {with([](auto& o) { o.init_method = "file:///x"; }),
       {},
       "'file:///x', expected tcp://HOST:PORT or env://"},
      {with([](auto& o) { o.init_method = "tcp://host"; }), {}, "expected tcp://HOST:PORT"},
      {with([](auto& o) { o.init_method = "tcp://host:0"; }), {}, "expected tcp://HOST:PORT"},
      {with([](auto& o) { o.init_method = "tcp://:80"; }), {}, "expected tcp://HOST:PORT"},
      {with([](auto& o) { o.init_method = "tcp://h:80"; }), {}, "needs --distributed-world-size"},
      {with([](auto& o) { o.init_method = "tcp://h:80", o.world_size = 2; }),
       {},
       "needs --distributed-rank"},
      {with([](auto& o) { o.init_method = "tcp://h:80", o.world_size = o.rank = 2; }),
       {},
       "expected less than --distributed-world-size 2"},
      {with([](auto& o) { o.init_method = "env://"; }), {}, "WORLD_SIZE is not in the environment"},
      {with([](auto& o) { o.rank = 1, o.world_size = 2; }),
       {},
       "--distributed-rank needs --distributed-init-method"},
      {with([](auto& o) { o.world_size = 2, o.no_spawn = true; }),
       {},
       "with --distributed-no-spawn needs"},
      {with([](auto& o) { o.world_size = 4, o.nprocs_per_node = 2; }),
       {},
       "to find the other machines"},
      {with([](auto& o) { o.world_size = 1 << 30; }), {}, "too large"},
      {with([](auto& o) { o.port = 70000; }), {}, "expected at most 65535"},
      {none, changed("WORLD_SIZE", "two"), "WORLD_SIZE='two' in the environment, expected 1 to"},
      {none, changed("RANK", "2"), "RANK='2' in the environment, expected 0 to 1"},
      {none, changed("MASTER_PORT", "0"),
       "MASTER_PORT='0' in the environment, expected 1 to 65535"},
      {none, changed("MASTER_ADDR", ""), "MASTER_ADDR is not in the environment"},
      {none,
       {{"SLURM_STEP_ID", "0"}, {"SLURM_NTASKS", "2"}},
       "SLURM_STEP_NODELIST is not in the environment"},
      {none,
       {{"SLURM_STEP_NODELIST", "a"}, {"SLURM_NTASKS", "2"}},
       "SLURM_PROCID is not in the environment"},
      {none,
       {{"SLURM_STEP_NODELIST", "a[3"}, {"SLURM_NTASKS", "2"}, {"SLURM_PROCID", "0"}},
       "the list of Slurm nodes 'a[3' cannot be read"},
  };
  for (const Case& one : cases)
    expect_error<UsageError>([&] { found(one.options, one.variables); }, one.phrase);
}

TEST(FirstHost, ReadsSlurmsLists) {
  EXPECT_EQ(btm::first_host("node7"), "node7");
  EXPECT_EQ(btm::first_host("node7,node9"), "node7");
  EXPECT_EQ(btm::first_host("node[003-007,9],other"), "node003");
  EXPECT_EQ(btm::first_host("rack[1-2]-n[05,07].cluster"), "rack1-n05.cluster");
  for (const char* bad : {"", ",a", "a[]", "a[", "a b", "a\n"})
    expect_error<UsageError>([&] { btm::first_host(bad); }, "cannot be read");
}

}  // namespace
