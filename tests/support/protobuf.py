# SPDX-License-Identifier: Apache-2.0
"""As much of the protobuf wire format as the tests need: varints and length-delimited fields.

Messages are written as (number, value) pairs and read as {number: [values]}; values are ints or bytes.
"""


def _varint(value):
    value &= (1 << 64) - 1
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def encode(*fields):
    """Bytes of a message; a list value repeats the field, zero and empty values are left out."""
    out = bytearray()
    for number, value in fields:
        for item in value if isinstance(value, list) else [value] if value else []:
            if isinstance(item, int):
                out += _varint(number << 3) + _varint(item)
            else:
                data = item.encode() if isinstance(item, str) else bytes(item)
                out += _varint(number << 3 | 2) + _varint(len(data)) + data
    return bytes(out)


def _read_varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def decode(data):
    """{number: [values]} of a message; fixed32 and fixed64 come as bytes."""
    fields, at = {}, 0
    while at < len(data):
        key, at = _read_varint(data, at)
        kind = key & 7
        if kind == 0:
            value, at = _read_varint(data, at)
        else:
            if kind == 2:
                size, at = _read_varint(data, at)
            elif kind in (1, 5):
                size = 8 if kind == 1 else 4
            else:
                raise ValueError(f"wire type {kind}")
            if at + size > len(data):
                raise ValueError("field runs past the end of the message")
            value, at = data[at:at + size], at + size
        fields.setdefault(key >> 3, []).append(value)
    return fields


def first(fields, number, default=0):
    return fields.get(number, [default])[0]


def text(fields, number):
    return bytes(first(fields, number, b"")).decode()
