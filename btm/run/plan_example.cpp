#include "btm/run/plan_example.h"

namespace btm {
namespace {

constexpr std::string_view kExample = R"(# A plan for btm run.
# '# KEY = VALUE' shows a key with its default, '#- KEY = VALUE' a choice.

[run]
# output = my-out              # folder of everything that is made (default: the plan's name + -out)

[data]
domains = law, code            # two or more names; each gets an expert
text = text/{domain}           # of each domain the folder of train.txt, valid.txt and test.txt,
                               # with one document a line
# In place of text, one of these:
#- train = my/{domain}.txt     # the files themselves, with valid = and test = beside it
#- valid = my/{domain}.valid.txt
#- test = my/{domain}.test.txt
#- train = my/{domain}.txt     # one file of each domain, a share of it held out for valid and as
#- held_out = 0.05             # much for test
#- bin = data-bin              # a folder of domains, as btm-convert preprocess --domains makes it
#- corpus = all.txt            # text without labels (without domains =): its clusters are the
                               # domains
#- [clusters]                  # of a corpus
#- number = 8                  # clusters; needed with corpus
#- names = c0, c1, c2          # a name for each, if you like
#- balanced = yes              # clusters of equally many tokens
#- held_out = 0.05             # share of each cluster for valid, and as much for test
#- flags =                     # more flags for btm cluster train

[tokeniser]
# vocab_size = 2000            # pieces of the sentencepiece model that is trained on the text
#- model = spm.model           # take this one instead

[model]
# arch = transformer_lm_gpt3_small
tokens_per_sample = 128        # tokens that the model sees at once (default: 1024)
# The next line makes a small model, for a CPU. Without it the model has 125 million parameters.
flags = --decoder-layers 4 --decoder-embed-dim 128 --decoder-attention-heads 4 )"
                                      R"(--decoder-ffn-embed-dim 512

[train]
updates = 800                  # of every expert, those of the seed model included
# seed_share = 0.5             # share of them that the seed model makes
# batch_size = 2               # samples of a batch of an expert
# update_freq = 1              # batches of an update
# lr = 5e-4                    # the highest learning rate
# warmup_share = 0.08          # share of the updates in which it rises
#- log_interval = 50           # updates between lines of the log (default: 20 lines or more)
# seed = 1                     # of the random numbers
#- seed_domains = all          # the domains of the seed model, where some are added later
# flags =                      # more flags for btm train

[experts]
# domains = law, code          # the domains that get an expert (default: all)
# dense = yes                  # also train one model of the same compute, to compare with
# average = yes                # also average the experts into one model
# along_run = 0                # checkpoints at the end of the baseline's run that are averaged
# tune = 0                     # averages that are tried in search of the best weights; 0: none
# tune_flags =                 # more flags for btm average --tune

[mix]
# updates = 0                  # of training a mixture of the experts; 0: no mixture
# train = routers              # or all
# router = posterior           # where the routers start, or domain, random
# moe_router = top2            # the experts of a token, or top1, soft
#- lr = 1e-3                   # the highest learning rate (default: that of [train])
# flags =                      # more flags for btm mix
# train_flags =                # more flags for btm train

[evaluate]
# ensembles = cached_prior, updating_prior, simple_average
# split = test
# prior_batches = 100          # batches of valid that give cached_prior's prior
# flags =                      # more flags for btm eval-matrix

[generate]
#- prompts = prompts.txt       # one a line; the report shows how the models continue them
# flags =                      # flags for btm generate in place of the usual ones

[slurm]
# gpus = 0                     # of an expert
# flags =                      # more flags for sbatch
)";

}  // namespace

std::string_view plan_example() { return kExample; }

}  // namespace btm
