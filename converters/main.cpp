// btm-convert: inspects and converts files of fairseq and torch. Does not link LibTorch.
#include "converters/commands.h"

int main(int argc, char** argv) { return compat::run_program(converters::program(), argc, argv); }
