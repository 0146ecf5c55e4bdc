"""What the programs of fairseq log, for the scripts that write golden data with them."""
import logging

from fairseq import options
from fairseq.dataclass.utils import convert_namespace_to_omegaconf

LOGGERS = ("train_inner", "fairseq_cli.eval_lm", "fairseq_cli.train")


class Lines(logging.Handler):
    def __init__(self):
        super().__init__()
        self.lines = []

    def emit(self, record):
        self.lines.append(record.getMessage())


def run(main, parser, arguments):
    """The lines that main() logs, and what it returns."""
    lines = Lines()
    logging.getLogger().handlers = [lines]
    for name in LOGGERS:
        logging.getLogger(name).handlers = [lines]
        logging.getLogger(name).propagate = False
    args = options.parse_args_and_arch(parser, input_args=arguments)
    return lines.lines, main(convert_namespace_to_omegaconf(args))
