#include "compat/checkpoint/foreign_model.h"

#include <gtest/gtest.h>

namespace {

std::string form_of(const std::vector<std::string>& names) {
  compat::NamedTensors model;
  for (const std::string& name : names) model.emplace_back(name, compat::TensorView{});
  return compat::foreign_form(model);
}

TEST(ForeignModel, IsToldByItsNames) {
  EXPECT_EQ(form_of({"decoder.embed_tokens.weight", "decoder.layers.0.fc1.weight"}), "");
  EXPECT_EQ(form_of({}), "");
  EXPECT_EQ(form_of({"decoder.version", "decoder.flat_param_0"}),
            "holds parameters that FSDP flattened ('decoder.flat_param_0'), expected a model that "
            "its program has consolidated");
  EXPECT_NE(form_of({"decoder.layers.0.self_attn.qkv_proj.weight"})
                .find("holds fused projections ('decoder.layers.0.self_attn.qkv_proj.weight')"),
            std::string::npos);
  EXPECT_NE(form_of({"module.decoder.version", "module.decoder.embed_tokens.weight"})
                .find("begin with 'module.'"),
            std::string::npos);
  EXPECT_NE(form_of({"_orig_mod.decoder.version"}).find("begin with '_orig_mod.'"),
            std::string::npos);
}

}  // namespace
