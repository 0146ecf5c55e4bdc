// Prints the names, types and shapes of a checkpoint's tensors.
#include <exception>
#include <iostream>

#include "compat/base/error.h"
#include "compat/base/text.h"
#include "compat/checkpoint/checkpoint.h"

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: list_tensors CHECKPOINT\n";
    return 2;
  }
  try {
    const compat::Checkpoint checkpoint = compat::Checkpoint::open(argv[1]);
    for (const auto& [name, tensor] : checkpoint.model())
      std::cout << compat::printable(name, 200) << ' ' << compat::dtype_name(tensor.dtype()) << ' '
                << compat::shape_text(tensor.shape) << '\n';
  } catch (const std::exception& error) {
    std::cerr << "list_tensors: error: " << error.what() << '\n';
    return 1;
  }
}
