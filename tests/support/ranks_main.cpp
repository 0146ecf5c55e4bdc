// The programs that tests run as ranks: small programs over btm/distributed, with the flags and
// error lines of btm. They use the CPU unless --gpu is set.
#include <ATen/Functions.h>
#include <ATen/Parallel.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <iostream>
#include <stdexcept>
#include <thread>

#include "btm/cli/distributed_flags.h"
#include "btm/distributed/communicator.h"
#include "btm/distributed/run_ranks.h"
#include "compat/program/program.h"

namespace {

using btm::Communicator;
using btm::RankPlace;

bool on_gpu = false, early = false;

at::TensorOptions options(at::ScalarType dtype) {
  return at::TensorOptions().dtype(dtype).device(on_gpu ? at::kCUDA : at::kCPU);
}

struct Command {
  std::string name;
  btm::DistributedOptions distributed;
  std::int64_t rank = -1;

  int run(std::span<const std::string> args,
          const std::function<int(Communicator&, const RankPlace&)>& body) {
    compat::CommandSpec spec{"ranks " + name, "", {}, {btm::distributed_flags(distributed)}, {}};
    spec.groups.push_back({"Test",
                           {compat::flag_integer("at", "N", rank, "the rank to act"),
                            compat::flag_switch("gpu", on_gpu, "tensors on the GPU"),
                            compat::flag_switch("early", early, "before anything was summed")}});
    std::vector<std::string> ignored;
    if (!compat::parse_command_line(spec, args, std::cout, ignored)) return 0;
    distributed.cpu = !on_gpu;
    return btm::run_ranks(distributed, spec.program, body);
  }
};

void require(bool holds, const std::string& what) {
  if (!holds) throw std::runtime_error("wrong: " + what);
}

/// The sum over ranks of (rank + 1) is known. Every dtype must give it.
void check_sums(Communicator& world, at::ScalarType dtype) {
  const std::int64_t n = world.size();
  const at::Tensor tensor = at::full({3, 5}, world.rank() + 1, options(dtype));
  world.all_reduce(tensor);
  require(tensor.to(at::kDouble).eq(static_cast<double>(n * (n + 1) / 2)).all().item<bool>(),
          "sum of " + std::string(at::toString(dtype)));
}

void check_overlapping(Communicator& world) {
  std::vector<at::Tensor> tensors;
  std::vector<std::unique_ptr<Communicator::Pending>> pending;
  for (int i = 0; i < 20; ++i) {
    tensors.push_back(at::full({1000 + i}, world.rank() + i, options(at::kFloat)));
    pending.push_back(world.start_all_reduce(tensors.back()));
  }
  for (auto& one : pending) one->wait();
  const int n = world.size();
  for (int i = 0; i < 20; ++i)
    require(tensors[static_cast<std::size_t>(i)].eq(n * (n - 1) / 2 + n * i).all().item<bool>(),
            "sums under way at once");
}

void check_gather(Communicator& world) {
  for (const std::size_t scale : {0UL, 1UL, 1000UL}) {
    const auto bytes_of = [&](int rank) {
      return std::string(scale * static_cast<std::size_t>(rank), static_cast<char>('a' + rank));
    };
    const std::vector<std::string> all = world.all_gather(bytes_of(world.rank()));
    require(all.size() == static_cast<std::size_t>(world.size()), "number of gathered texts");
    for (int rank = 0; rank < world.size(); ++rank)
      require(all[static_cast<std::size_t>(rank)] == bytes_of(rank), "gathered text");
  }
}

void check_broadcast(Communicator& world) {
  for (int root = 0; root < world.size(); ++root) {
    const at::Tensor tensor = at::full({7}, 10 * world.rank(), options(at::kLong));
    world.broadcast(tensor, root);
    require(tensor.eq(10 * root).all().item<bool>(), "broadcast");
  }
}

void check_subgroups(Communicator& world) {
  std::vector<int> even, odd;
  for (int rank = 0; rank < world.size(); ++rank) (rank % 2 == 0 ? even : odd).push_back(rank);
  const auto evens = world.subgroup(even), odds = world.subgroup(odd);
  require(
      (evens != nullptr) == (world.rank() % 2 == 0) && (odds != nullptr) == (world.rank() % 2 == 1),
      "membership");
  Communicator& own = evens ? *evens : *odds;
  require(own.rank() == world.rank() / 2, "rank in the subgroup");
  const at::Tensor tensor = at::full({4}, world.rank(), options(at::kFloat));
  own.all_reduce(tensor);
  int sum = 0;
  for (const int rank : evens ? even : odd) sum += rank;
  require(tensor.eq(sum).all().item<bool>(), "sum in the subgroup");
  require(own.all_gather("x").size() == static_cast<std::size_t>(own.size()),
          "gather in the subgroup");
}

int collectives(std::span<const std::string> args) {
  return Command{"collectives", {}}.run(args, [](Communicator& world, const RankPlace&) {
    for (const at::ScalarType dtype :
         {at::kFloat, at::kDouble, at::kHalf, at::kBFloat16, at::kLong, at::kInt})
      check_sums(world, dtype);
    check_overlapping(world);
    check_gather(world);
    check_broadcast(world);
    check_subgroups(world);
    world.barrier();
    std::cout << "all well on " << world.size() << " ranks" << std::endl;
    return 0;
  });
}

/// Prints the place of every rank once.
int places(std::span<const std::string> args) {
  return Command{"places", {}}.run(args, [](Communicator& world, const RankPlace& place) {
    const std::string own = std::to_string(world.rank()) + "/" + std::to_string(world.size()) +
                            " local " + std::to_string(place.local_rank) + " threads " +
                            std::to_string(at::get_num_threads()) + "\n";
    std::string text;
    for (const std::string& line : world.all_gather(own)) text += line;
    std::cout << text << std::flush;
    return 0;
  });
}

/// Rank --at kills itself while the others wait for it in a collective. With --early this is the
/// first collective.
int killed(std::span<const std::string> args) {
  Command command{"killed", {}};
  return command.run(args, [&](Communicator& world, const RankPlace&) {
    const at::Tensor tensor = at::zeros({1 << 16}, options(at::kFloat));
    if (!early) world.all_reduce(tensor);
    world.barrier();
    if (world.rank() == 0) std::cout << "all here" << std::endl;
    if (world.rank() == command.rank) ::kill(::getpid(), SIGKILL);
    for (;;) {
      world.all_reduce(tensor);
      static_cast<void>(tensor[0].item<float>());  // as training reads the gradient norm
    }
    return 0;
  });
}

/// Rank --at (-1: every rank) ends with its own error.
int failing(std::span<const std::string> args) {
  Command command{"failing", {}};
  return command.run(args, [&](Communicator& world, const RankPlace&) {
    const at::Tensor tensor = at::zeros({1 << 16}, options(at::kFloat));
    const auto pending =
        world.rank() == command.rank ? world.start_all_reduce(tensor) : nullptr;  // left unfinished
    if (world.rank() == command.rank || command.rank < 0)
      throw std::runtime_error("the disk is full");
    for (;;) {
      world.all_reduce(tensor);
      static_cast<void>(tensor[0].item<float>());  // as training reads the gradient norm
    }
    return 0;
  });
}

/// Rank --at ends in the middle of an escape sequence that a library writes without std::cerr.
int rude(std::span<const std::string> args) {
  Command command{"rude", {}};
  return command.run(args, [&](Communicator& world, const RankPlace&) {
    constexpr std::string_view kText = "library: \x1b[31mred\x9b\n";
    if (world.rank() == command.rank)
      ::_exit(::write(STDERR_FILENO, kText.data(), kText.size()) < 0 ? 4 : 3);
    for (;;) world.barrier();
    return 0;
  });
}

/// Waits for a signal. All ranks then end with status 128 + its number.
int waiting(std::span<const std::string> args) {
  static volatile sig_atomic_t caught = 0;
  for (const int number : {SIGTERM, SIGINT, SIGUSR1})
    ::signal(number, [](int got) { caught = got; });
  return Command{"waiting", {}}.run(args, [](Communicator& world, const RankPlace&) {
    if (world.rank() == 0) std::cout << "ready" << std::endl;
    for (;;) {
      // One rank can notice the signal before another.
      for (const std::string& seen : world.all_gather(std::to_string(caught)))
        if (seen != "0") return 128 + std::stoi(seen);
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
  });
}

}  // namespace

int main(int argc, char** argv) {
  constexpr std::array kCommands{
      compat::Command{"collectives", "checks every collective", collectives},
      compat::Command{"places", "prints places", places},
      compat::Command{"killed", "a rank is killed", killed},
      compat::Command{"failing", "a rank fails", failing},
      compat::Command{"rude", "a rank ends with a library's words", rude},
      compat::Command{"waiting", "waits for a signal", waiting}};
  return compat::run_program({"ranks", "Ranks for the tests of btm/distributed.", kCommands}, argc,
                             argv);
}
