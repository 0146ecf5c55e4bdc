// How fast a predictor reads prompts and writes tokens.
#pragma once

#include <cstdint>
#include <string>

/// Prints tokens/s of scoring `rows` prompts of `context` tokens at once and of writing one token
/// to each of them, under the 125M shape; and the share of the memory's read bandwidth, measured in
/// the same run, at which the weights pass through in writing. `products`: fp32, bf16 or bf16x3.
void bench_decode(const std::string& products, std::int64_t rows, std::int64_t context,
                  int threads);
