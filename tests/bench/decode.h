// How fast a predictor reads prompts and writes tokens.
#pragma once

#include <cstdint>
#include <string>

/// Prints 10^9 operations a second of products of 1 to 2,048 rows by a matrix of 768 x 3072.
void bench_products(int threads);

/// Prints tokens/s of scoring `rows` prompts of `context` tokens at once and of writing one token
/// to each of them, under the 125M shape; and the share of the memory's read bandwidth, measured in
/// the same run, at which the weights pass through in writing. `products`: fp32, bf16 or bf16x3.
void bench_decode(const std::string& products, std::int64_t rows, std::int64_t context,
                  int threads);
