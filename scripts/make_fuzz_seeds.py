#!/usr/bin/env python3
"""Writes the small seeds of tests/fuzz/corpus/{unpickler,config,dictionary}.

There is one seed for each branch of a reader: the opcodes and refusals of compat/torch/pickle.md,
the forms of a configuration that compat/fairseq/config.h names, and the lines of
compat/fairseq/dictionary.md. Seeds of other names stay as they are.

usage: make_fuzz_seeds.py [FOLDER]     (default: tests/fuzz/corpus)
"""
import pathlib
import struct
import sys

MARK, STOP, POP, DUP, TUPLE, LIST, DICT = b"(", b".", b"0", b"2", b"t", b"l", b"d"
EMPTY_TUPLE, EMPTY_LIST, EMPTY_DICT, EMPTY_SET = b")", b"]", b"}", b"\x8f"
NONE, TRUE, FALSE, REDUCE, BUILD, NEWOBJ = b"N", b"\x88", b"\x89", b"R", b"b", b"\x81"
ONE = b"K\x01"


def u32(value: int) -> bytes:
    return struct.pack("<I", value)


def i32(value: int) -> bytes:
    return struct.pack("<i", value)


def u64(value: int) -> bytes:
    return struct.pack("<Q", value)


def text(value: str) -> bytes:
    data = value.encode()
    return b"\x8c" + bytes([len(data)]) + data


def name(module: str, member: str) -> bytes:
    return f"c{module}\n{member}\n".encode()


def tuple_of(*items: bytes) -> bytes:
    return MARK + b"".join(items) + TUPLE


def list_of(*items: bytes) -> bytes:
    return MARK + b"".join(items) + LIST


def dict_of(**items: bytes) -> bytes:
    return MARK + b"".join(text(key) + value for key, value in items.items()) + DICT


def call(module: str, member: str, *args: bytes) -> bytes:
    return name(module, member) + tuple_of(*args) + REDUCE


# A storage of four elements of a class; the fuzz target gives it.
def storage(kind: str = "Float") -> bytes:
    return MARK + NONE + name("torch", kind + "Storage") + TUPLE + b"Q"


STORAGE = storage()
SHAPE, ZERO = tuple_of(ONE), b"K\x00"
V2 = ("torch._utils", "_rebuild_tensor_v2")


def tensor(
    *, of=STORAGE, offset=ZERO, shape=SHAPE, stride=SHAPE, grad=FALSE, rest=(NONE,)
) -> bytes:
    return call(*V2, of, offset, shape, stride, grad, *rest)


def sizes(*values: int) -> bytes:
    return tuple_of(*(b"\x8a\x08" + struct.pack("<q", value) for value in values))


SCALARS = {
    "none": NONE,
    "true_false": tuple_of(TRUE, FALSE),
    "int_line": tuple_of(b"I-12\n", b"I00\n", b"I01\n"),
    "long_line": tuple_of(b"L123L\n", b"L-5\n"),
    "float_line": tuple_of(b"F1.5\n", b"Finf\n", b"Fnan\n", b"F-0.0\n"),
    "binint": tuple_of(b"J" + i32(-70000), b"K\xff", b"M\xff\xff"),
    "long1": tuple_of(
        b"\x8a\x00", b"\x8a\x01\xff", b"\x8a\x08" + b"\xff" * 7 + b"\x7f", b"\x8a\x09" + b"\x01" * 9
    ),
    "long4": tuple_of(
        b"\x8b" + i32(0), b"\x8b" + i32(2) + b"\x00\x80", b"\x8b" + i32(10) + b"\x02" * 10
    ),
    "binfloat": tuple_of(b"G" + struct.pack(">d", -2.5), b"G" + struct.pack(">d", float("nan"))),
    "string_line": tuple_of(b"S'a\\n\\x41\\101\\''\n", b'S"b"\n', b"S''\n"),
    "binstring": tuple_of(b"T" + i32(2) + b"ab", b"U\x01c"),
    "unicode_line": tuple_of(b"Va\\u00e9\\U0001f600\n", b"V\\d\n", b"V\n", b"V\xc3\xa9\n"),
    "counted_strings": tuple_of(b"\x8c\x01a", b"X" + u32(1) + b"b", b"\x8d" + u64(1) + b"c"),
    "counted_bytes": tuple_of(
        b"C\x01a", b"B" + u32(1) + b"b", b"\x8e" + u64(1) + b"c", b"\x96" + u64(1) + b"d"
    ),
    "protocols": b"\x80\x05\x95" + u64(1) + NONE,
}
CONTAINERS = {
    "empty_containers": tuple_of(EMPTY_TUPLE, EMPTY_LIST, EMPTY_DICT, EMPTY_SET),
    "small_tuples": ONE + b"\x85" + ONE + b"\x86" + ONE + ONE + b"\x87",
    "list_and_dict": tuple_of(list_of(ONE, NONE), dict_of(a=ONE)),
    "append_setitem": tuple_of(
        EMPTY_LIST + ONE + b"a" + MARK + ONE + NONE + b"e",
        EMPTY_DICT + ONE + NONE + b"s" + MARK + NONE + ONE + b"u",
    ),
    "sets": tuple_of(EMPTY_SET + MARK + ONE + b"\x90", MARK + ONE + NONE + b"\x91"),
    "pops": MARK + POP + ONE + NONE + POP + MARK + ONE + ONE + b"1" + DUP + b"\x86",
    "memo": tuple_of(
        NONE, b"p7\n", ONE, b"q\x02", TRUE, b"r" + u32(300), b"g7\n", b"h\x02", b"j" + u32(300)
    ),
    "memoize": tuple_of(EMPTY_LIST, b"\x94", ONE, b"\x94", b"h\x00", b"h\x01"),
    "list_of_itself": EMPTY_LIST + b"q\x00h\x00a",
    "same_keys_of_other_types": MARK
    + ONE
    + NONE
    + TRUE
    + NONE
    + b"C\x01a"
    + NONE
    + text("a")
    + NONE
    + DICT,
}
OBJECTS = {
    "global": name("a.b", "C"),
    "stack_global": text("a.b") + text("C") + b"\x93",
    "inst": MARK + ONE + b"ia\nC\n",
    "obj": MARK + name("a", "C") + ONE + b"o",
    "newobj": name("a", "C") + EMPTY_TUPLE + NEWOBJ + dict_of(x=ONE) + BUILD,
    "newobj_ex": name("a", "C") + EMPTY_TUPLE + EMPTY_DICT + b"\x92",
    "reduce": call("a", "f", ONE) + NONE + BUILD,
    "reduce_of_no_global": text("f") + EMPTY_TUPLE + REDUCE,
    "appended_object": call("a", "C") + MARK + ONE + b"e" + MARK + ONE + NONE + b"u",
    "persid": b"Pline\n" + text("id") + b"Q\x86",
    "ordered_dict": call("collections", "OrderedDict")
    + ONE
    + NONE
    + b"s"
    + dict_of(_metadata=NONE)
    + BUILD,
    "ordered_dict_of_lists": call(
        "collections", "OrderedDict", list_of(list_of(text("a"), ONE), tuple_of(ONE, NONE))
    ),
    "ordered_dict_of_a_tuple": call("collections", "OrderedDict", tuple_of(ONE)),
    "ordered_dict_of_ints": call("collections", "OrderedDict", list_of(ONE)),
    "ordered_dict_of_triples": call("collections", "OrderedDict", list_of(tuple_of(ONE, ONE, ONE))),
    "parameter_over_an_object": call(
        "torch._utils", "_rebuild_parameter", call("a", "f"), TRUE, NONE
    ),
    "parameter_with_state": call(
        "torch._utils", "_rebuild_parameter_with_state", call("a", "f"), TRUE, NONE, NONE
    ),
    "tensor_of_another_class": call(
        "torch._tensor", "_rebuild_from_type_v2", name("a", "f"), name("a", "C"), EMPTY_TUPLE, NONE
    ),
    "tensor_of_no_class": call("torch._tensor", "_rebuild_from_type_v2", ONE, ONE, ONE, NONE),
}
TENSORS = {
    "tensor": tensor(),
    "tensor_of_four": call("torch._utils", "_rebuild_tensor", STORAGE, ZERO, SHAPE, SHAPE),
    "tensor_scalar": tensor(shape=EMPTY_TUPLE, stride=EMPTY_TUPLE, offset=b"K\x03", grad=TRUE),
    "tensor_empty": tensor(shape=sizes(0, 5), stride=sizes(5, 1)),
    "tensor_transposed": tensor(shape=sizes(2, 2), stride=sizes(1, 2)),
    "tensor_expanded": tensor(shape=sizes(1000), stride=sizes(0)),
    "tensor_of_torch_size": tensor(shape=call("torch", "Size", SHAPE)),
    "tensor_negative": tensor(rest=(NONE, dict_of(neg=TRUE))),
    "tensor_conjugate": tensor(
        of=storage("ComplexFloat"), rest=(NONE, dict_of(conj=TRUE, neg=TRUE))
    ),
    "tensor_without_metadata": tensor(rest=(NONE, NONE)),
    "tensor_quantized": tensor(of=storage("QInt8")),
    "tensor_over_an_id": tensor(of=b"Pid\n"),
    "tensor_twice": tensor() + b"q\x01h\x01\x86",
    "parameter": call("torch._utils", "_rebuild_parameter", tensor(), TRUE, NONE),
    "parameter_of_state": call(
        "torch._utils", "_rebuild_parameter_with_state", tensor(), TRUE, NONE, dict_of(a=ONE)
    ),
    "tensor_of_attributes": call(
        "torch._tensor",
        "_rebuild_from_type_v2",
        name(*V2),
        name("torch", "Tensor"),
        tuple_of(STORAGE, ZERO, SHAPE, SHAPE, FALSE, NONE),
        dict_of(a=ONE),
    ),
    "storage_alone": STORAGE,
    "storage_quantized": storage("QInt8"),
}
BAD_TENSORS = {
    "tensor_offset_none": tensor(offset=NONE),
    "tensor_offset_negative": tensor(offset=b"J" + i32(-1)),
    "tensor_offset_beyond": tensor(offset=b"K\x04"),
    "tensor_shape_of_int": tensor(shape=ONE),
    "tensor_shape_of_text": tensor(shape=tuple_of(text("a"))),
    "tensor_shape_of_object": tensor(shape=call("torch", "Size", SHAPE, SHAPE)),
    "tensor_shape_negative": tensor(shape=sizes(-1)),
    "tensor_shape_overflow": tensor(shape=sizes(1 << 40, 1 << 40), stride=sizes(0, 0)),
    "tensor_shape_bomb": tensor(shape=sizes(1 << 30), stride=sizes(0)),
    "tensor_stride_negative": tensor(stride=sizes(-1)),
    "tensor_stride_overflow": tensor(shape=sizes(3), stride=sizes((1 << 63) - 1)),
    "tensor_stride_missing": tensor(stride=EMPTY_TUPLE),
    "tensor_rank_65": tensor(shape=MARK + ONE * 65 + TUPLE + b"q\x01", stride=b"h\x01"),
    "tensor_grad_none": tensor(grad=NONE),
    "tensor_metadata_int": tensor(rest=(NONE, ONE)),
    "tensor_metadata_unknown": tensor(rest=(NONE, dict_of(other=TRUE))),
    "tensor_metadata_no_flag": tensor(rest=(NONE, dict_of(neg=ONE))),
    "tensor_conjugate_float": tensor(rest=(NONE, dict_of(conj=TRUE))),
    "tensor_negative_bool": tensor(of=storage("Bool"), rest=(NONE, dict_of(neg=TRUE))),
    "parameter_grad_none": call("torch._utils", "_rebuild_parameter", tensor(), NONE, NONE),
}
REFUSALS = {
    "protocol_6": b"\x80\x06" + NONE,
    "opcode_unknown": b"\xff",
    "stop_of_two": NONE + NONE,
    "stop_of_none": b"",
    "stop_in_mark": NONE + MARK,
    "underflow": POP,
    "underflow_at_mark": NONE + MARK + DUP,
    "no_mark": NONE + TUPLE,
    "odd_dict": MARK + ONE + DICT,
    "odd_setitems": EMPTY_DICT + MARK + ONE + b"u",
    "append_to_int": ONE + NONE + b"a",
    "setitem_on_list": EMPTY_LIST + ONE + NONE + b"s",
    "additems_to_list": EMPTY_LIST + MARK + ONE + b"\x90",
    "additems_to_frozenset": MARK + b"\x91" + MARK + ONE + b"\x90",
    "memo_not_written": b"h\x05",
    "memo_index_no_number": NONE + b"px\n",
    "memo_index_negative": NONE + b"p-1\n",
    "memo_index_too_large": b"g99999999999999999999\n",
    "duplicate_key": dict_of(a=ONE)[:-1] + text("a") + NONE + DICT,
    "int_no_number": b"Ix\n",
    "int_too_large": b"I99999999999999999999\n",
    "int_no_line": b"I12",
    "long_empty": b"LL\n",
    "float_no_number": b"F1.5x\n",
    "float_empty": b"F\n",
    "long4_negative": b"\x8b" + i32(-1),
    "long4_too_long": b"\x8b" + i32(0x7FFFFFFF),
    "binstring_negative": b"T" + i32(-1),
    "string_not_quoted": b"Sabc\n",
    "string_half_quoted": b"S'abc\"\n",
    "string_one_quote": b"S'\n",
    "string_bad_escape": b"S'\\q'\n",
    "string_bad_hex": b"S'\\xg0'\n",
    "string_cut_escape": b"S'a\\'\n",
    "unicode_bad_escape": b"V\\u12\n",
    "unicode_beyond": b"V\\U00110000\n",
    "unicode_surrogate": b"V\\ud800\n",
    "string_too_long": b"\x8d" + u64(1 << 62),
    "bytes_too_long": b"\x8e" + u64(1 << 63),
    "bytearray_too_long": b"\x96" + u64(0xFFFFFFFFFFFFFFFF),
    "stack_global_of_ints": ONE + ONE + b"\x93",
    "obj_without_class": MARK + b"o",
    "newobj_without_tuple": name("a", "C") + ONE + NEWOBJ,
    "newobj_ex_without_dict": name("a", "C") + EMPTY_TUPLE + ONE + b"\x92",
    "reduce_without_tuple": name("a", "f") + ONE + REDUCE,
    "build_on_int": ONE + NONE + BUILD,
    "build_twice": call("a", "C") + NONE + BUILD + NONE + BUILD,
    "build_on_dict": EMPTY_DICT + NONE + BUILD,
    "extension": b"\x82\x01",
    "extension_2": b"\x83\x01\x00",
    "extension_4": b"\x84" + u32(1),
    "next_buffer": b"\x97",
    "readonly_buffer": NONE + b"\x98",
    "tensor_of_five": call("torch._utils", "_rebuild_tensor_v2", ONE, ONE, ONE, ONE, ONE),
    "tensor_of_three": call("torch._utils", "_rebuild_tensor", ONE, ONE, ONE),
    "tensor_over_int": call("torch._utils", "_rebuild_tensor", ONE, ONE, SHAPE, SHAPE),
    "parameter_of_two": call("torch._utils", "_rebuild_parameter", ONE, ONE),
    "parameter_over_int": call("torch._utils", "_rebuild_parameter", ONE, TRUE, NONE),
    "typed_tensor_of_one": call("torch._tensor", "_rebuild_from_type_v2", ONE),
    "module_without_line": b"cabc",
}


def omegaconf(kind: str, state: bytes) -> bytes:
    return name(f"omegaconf.{kind}", kind.title()) + EMPTY_TUPLE + NEWOBJ + state + BUILD


def any_node(value: str) -> bytes:
    return omegaconf("nodes", dict_of(_val=text(value)))


def dict_config(**items: bytes) -> bytes:
    return omegaconf("dictconfig", dict_of(_content=dict_of(**items)))


def namespace(**items: bytes) -> bytes:
    return name("argparse", "Namespace") + EMPTY_TUPLE + NEWOBJ + dict_of(**items) + BUILD


def checkpoint(cfg: bytes = b"", args: bytes = b"", **items: bytes) -> bytes:
    if cfg:
        items["cfg"] = cfg
    if args:
        items["args"] = args
    return dict_of(**items)


def section(**items: bytes) -> bytes:
    return checkpoint(cfg=dict_of(optimization=dict_of(**items)))


CONFIGS = {
    "no_configuration": checkpoint(),
    "cfg_none_and_args_none": checkpoint(cfg=NONE, args=NONE),
    "cfg_before_args": checkpoint(cfg=dict_of(a=ONE), args=namespace(lr=ONE)),
    "args_when_cfg_is_none": checkpoint(cfg=NONE, args=namespace(lr=list_of(ONE))),
    "args_of_dict": checkpoint(args=dict_of(lr=ONE)),
    "cfg_of_list": checkpoint(cfg=list_of(ONE)),
    "cfg_of_int": checkpoint(cfg=ONE),
    "every_type": section(
        lr=tuple_of(NONE, TRUE, ONE, b"F1e300\n", text("x")),
        b=EMPTY_SET + MARK + ONE + b"\x90",
        c=b"C\x01a",
    ),
    "int_keys": checkpoint(cfg=MARK + ONE + EMPTY_DICT + DICT),
    "key_of_none": checkpoint(cfg=MARK + NONE + ONE + DICT),
    "enum": section(lr=call("fairseq.dataclass.constants", "Choices", text("no_c10d"))),
    "enum_of_two": section(lr=call("fairseq.dataclass.constants", "Choices", ONE, ONE)),
    "path": section(lr=call("pathlib", "PosixPath", text("/"), text("a"), ONE, text("b"))),
    "object": section(lr=call("a", "C")),
    "object_of_no_class": section(lr=text("f") + EMPTY_TUPLE + REDUCE),
    "reconstructor": section(
        lr=call("copy_reg", "_reconstructor", name("argparse", "Namespace"), NONE)
        + dict_of(x=ONE)
        + BUILD
    ),
    "reconstructor_of_nothing": section(lr=call("copyreg", "__newobj__")),
    "namespace_without_state": section(lr=call("argparse", "Namespace")),
    "quotes_in_texts": section(
        lr=list_of(
            text("'"), text('"'), text("'\""), text("\n\x01\x7f\u0085\u00e9"), b"U\x02\xc2\xff"
        )
    ),
    "floats": section(lr=list_of(b"Fnan\n", b"Finf\n", b"F-inf\n", b"F1.0\n", b"F1e-7\n")),
    "omegaconf": checkpoint(cfg=dict_config(optimization=dict_config(lr=any_node("x")))),
    "omegaconf_missing": checkpoint(cfg=dict_config(a=any_node("???"), b=text("???"))),
    "omegaconf_without_content": checkpoint(cfg=dict_config(a=omegaconf("nodes", EMPTY_DICT))),
    "interpolation": checkpoint(cfg=dict_config(a=ONE, b=text("${a}"), c=text("x${a}y${a}"))),
    "interpolation_of_list": checkpoint(cfg=dict_config(a=list_of(ONE, text("${..a.0}")))),
    "interpolation_beyond_list": checkpoint(cfg=dict_config(a=list_of(ONE), b=text("${a.1}"))),
    "interpolation_of_no_index": checkpoint(cfg=dict_config(a=list_of(ONE), b=text("${a.x}"))),
    "interpolation_of_nothing": checkpoint(cfg=dict_config(a=text("${b}"))),
    "interpolation_of_all": checkpoint(cfg=dict_config(a=text("${}"))),
    "interpolation_above_root": checkpoint(cfg=dict_config(a=text("${...b}"))),
    "interpolation_of_sibling": checkpoint(cfg=dict_config(a=dict_config(b=ONE, c=text("${.b}")))),
    "interpolation_by_resolver": checkpoint(
        cfg=dict_config(a=text("${env:HOME}"), b=text("x${oc.env:A}"))
    ),
    "interpolation_open": checkpoint(cfg=dict_config(a=text("${b"))),
    "interpolation_of_itself": checkpoint(cfg=dict_config(a=text("x${a}"))),
    "cfg_in_itself": checkpoint(cfg=EMPTY_DICT + b"q\x01" + text("a") + b"h\x01s"),
    "root_of_list": list_of(ONE),
    "model_of_int": checkpoint(cfg=EMPTY_DICT, model=ONE),
    "model_of_ints": checkpoint(cfg=EMPTY_DICT, model=dict_of(w=ONE)),
    "model_with_int_key": checkpoint(model=MARK + ONE + ONE + DICT),
    "model_of_objects": checkpoint(model=dict_of(w=call("a", "C"))),
    "keys_without_model": MARK + ONE + NONE + text("a" * 50) + NONE + DICT,
}
DICTIONARIES = {
    "empty": b"",
    "one_word": b"a 1\n",
    "no_count": b"a\n",
    "empty_line": b"a 1\n\nb 2\n",
    "count_no_number": b"a x\n",
    "count_with_plus": b"a +3\n",
    "count_plus_minus": b"a +-3\n",
    "count_negative": b"a -3\nb 0\n",
    "count_of_64_bits": b"a 9223372036854775807\nb -9223372036854775808\n",
    "count_too_large": b"a 9223372036854775808\n",
    "count_sum_overflow": b"<s> 9223372036854775807 #fairseq:overwrite\n<s> 1 #fairseq:overwrite\n",
    "count_as_float": b"a 1.0\n",
    "count_with_underscore": b"a 1_000\n",
    "word_empty": b" 1\n",
    "word_of_spaces": b"   1\n",
    "word_with_space": b"a b 1\n",
    "word_with_tab": b"a\tb 1\n",
    "word_with_wide_space": "a\u3000b 1\n\u2028 2\n".encode(),
    "word_is_flag": b"#fairseq:overwrite 1\n",
    "flag_alone": b"#fairseq:overwrite\n",
    "flag_without_count": b"a #fairseq:overwrite\n",
    "flag_unknown": b"a 1 #fairseq:other\n",
    "flag_on_special": b"<pad> 1 #fairseq:overwrite\n",
    "flag_twice": b"a 1 #fairseq:overwrite #fairseq:overwrite\n",
    "special_again": b"<unk> 1\n",
    "madeupword": b"madeupword0000 0\nmadeupword0001 5\n",
    "nine_words": b"".join(b"%c 1\n" % letter for letter in b"abcdefghi"),
    "equal_counts": b"b 1\na 1\nc 2\n",
    "line_ends": b"a 1\r\nb 2\rc 3\x0bd 4\x0ce 5\x85\n",
    "python_line_ends": "a 1\x1cb 2\x1d\u0085c 3\u2028d 4\n".encode(),
    "nul": b"a\x00b 1\n",
    "surrogate": b"\xed\xa0\x80 1\n",
    "overlong": b"\xc0\x80 1\n",
    "cut_character": b"a 1\n\xf0\x9f\x98",
    "byte_order_mark": b"\xef\xbb\xbfa 1\n",
    "git_lfs_pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:"
    + b"0" * 64
    + b"\nsize 12\n",
}


def main(folder: pathlib.Path) -> None:
    pickles = {**SCALARS, **CONTAINERS, **OBJECTS, **TENSORS, **BAD_TENSORS, **REFUSALS}
    seeds = {f"unpickler/{key}": value + STOP for key, value in pickles.items()}
    seeds["unpickler/nothing"] = b""
    seeds["unpickler/no_stop"] = NONE
    seeds |= {f"config/{key}": value + STOP for key, value in CONFIGS.items()}
    seeds |= {f"dictionary/{key}": value for key, value in DICTIONARIES.items()}
    for path, data in seeds.items():
        assert len(data) < 250, f"{path}: {len(data)} bytes"
        (folder / path).write_bytes(data)
    print(f"{len(seeds)} seeds in {folder}")


if __name__ == "__main__":
    corpus = pathlib.Path(__file__).resolve().parent.parent / "tests/fuzz/corpus"
    main(pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else corpus)
