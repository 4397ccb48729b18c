"""Arrays in files, read by blocks of rows: what a header declares is checked before it is believed.

Nothing is unpickled. What cannot be read is an `InputError` that names the file, the key, and the
cure.
"""

from __future__ import annotations

import ast
import json
import math
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import torch

BOMB = 2**28, 100
"""A member of an archive may not declare more bytes than this that shrink by more than this."""
WHOLE = 2**29
"""An array stored by columns has to be read whole, which is refused above so many bytes."""


class InputError(ValueError):
    """A file that cannot be reported on; the message names it and says what was expected."""


@dataclass(frozen=True)
class Array:
    """An array of one file: its name for messages, its shape, and `parts`.

    `parts(count)` yields its numbers in order of rows, flat, `count` at a time.
    """

    name: str
    shape: tuple[int, ...]
    floating: bool
    parts: Callable[[int], Iterator[torch.Tensor]]

    def whole(self) -> torch.Tensor:
        """All numbers in one tensor of its shape."""
        parts = [*self.parts(2**22)]
        return torch.cat(parts).reshape(self.shape) if parts else torch.empty(self.shape)


Opener = Callable[[], AbstractContextManager[IO[bytes]]]


def of_tensor(name: str, tensor: torch.Tensor) -> Array:
    """An array that is in memory already."""
    return Array(name, tuple(tensor.shape), tensor.is_floating_point(), tensor.reshape(-1).split)


def of_npy(path: Path) -> dict[str, Array]:
    """The one array of a .npy file."""
    return {"": _of_numpy(path, f"{path}", lambda: path.open("rb"), path.stat().st_size)}


def of_npz(path: Path) -> dict[str, Array | InputError]:
    """Arrays of a .npz file by key; one that cannot be read is the error that says why."""
    found: dict[str, Array | InputError] = {}
    with _readable(path), zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        if any(member.filename.endswith("data.pkl") for member in members):
            raise InputError(f"{path} is a pickle of torch inside an archive. {unpickled(path)}")
        for member in members:
            key = member.filename.removesuffix(".npy")
            try:
                found[key] = _of_member(path, member, key)
            except InputError as error:
                found[key] = error
    return found


def of_safetensors(path: Path) -> dict[str, Array | InputError]:
    """Arrays of a .safetensors file by key, bfloat16 among them; or the error that says why not."""
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= min(size - 8, 2**27):
            raise InputError(f"{path} is not a safetensors file, or it is truncated")
        try:
            header = json.loads(file.read(length))
            header.pop("__metadata__", None)
            entries = [
                (key, entry["dtype"], tuple(map(int, entry["shape"])),
                 *map(int, entry["data_offsets"]))
                for key, entry in header.items()
            ]  # fmt: skip
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(f"{path} has a broken safetensors header: {error!r}") from None
    found: dict[str, Array | InputError] = {}
    key: str
    for key, said, shape, start, end in entries:
        name = f"{path}, key {key!r}"
        if said not in SAFETENSORS:
            found[key] = InputError(f"{name} has dtype {said}, expected one of {[*SAFETENSORS]}")
            continue
        code = SAFETENSORS[said]
        dtype = np.dtype(code or "<u2")
        if min(shape, default=1) < 0 or end - start != math.prod(shape) * dtype.itemsize:
            raise InputError(f"{name}: {end - start} bytes do not hold {shape} of {dtype}")
        if 8 + length + end > size:
            raise InputError(f"{name} is truncated: the file ends before byte {8 + length + end}")

        @contextmanager
        def opened(start: int = 8 + length + start) -> Iterator[IO[bytes]]:
            with path.open("rb") as file:
                file.seek(start)
                yield file

        found[key] = _streamed(name, opened, dtype, shape, brain=not code)
    return found


# bfloat16 is unknown to NumPy: two bytes that torch reads
SAFETENSORS = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "",
    "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "|i1", "U8": "|u1", "BOOL": "|b1",
}  # fmt: skip


def unpickled(path: Path) -> str:
    """The two lines that make a .npz of a pickle, for whoever trusts the file."""
    load = (
        f'd = torch.load("{path.name}", weights_only=True)'
        if path.suffix in (".pt", ".pth", ".bin")
        else f'd = numpy.load("{path.name}", allow_pickle=True)'
        if path.suffix in (".npy", ".npz")
        else f'd = pickle.load(open("{path.name}", "rb"))'
    )
    fields = ", ".join(f'{key}=numpy.stack([*d["{key}"]])' for key in ("logits", "labels"))
    return (
        "Pickles can run any program, so they are not opened; if you trust it, convert it, with "
        f"your own keys:\n    {load}\n    numpy.savez("
        f'"{path.stem}-plain.npz", {fields})'
    )


def _of_member(path: Path, member: zipfile.ZipInfo, key: str) -> Array:
    size, packed = member.file_size, max(1, member.compress_size)
    name = f"{path}, key {key!r}"
    if size > BOMB[0] and size / packed > BOMB[1]:
        raise InputError(
            f"{name}: {packed} bytes would unpack to {size}, more than {BOMB[1]} times as many; "
            "save it with numpy.save if that is right"
        )

    @contextmanager
    def opened() -> Iterator[IO[bytes]]:
        with zipfile.ZipFile(path) as archive, archive.open(member) as file:
            yield file

    return _of_numpy(path, name, opened, size)


def _of_numpy(path: Path, name: str, opened: Opener, size: int) -> Array:
    """The array that a header of NumPy's format declares, if the bytes that follow can hold it."""
    with _readable(name), opened() as file:
        start, header = _header(name, file)
    shape, fortran, code = header["shape"], header["fortran_order"], header["descr"]
    dtype = _dtype(path, name, code)
    if len(shape) > 1 and fortran and math.prod(shape) * dtype.itemsize > WHOLE:
        raise InputError(
            f"{name} is stored by columns (Fortran order) and cannot be read by rows; save "
            "numpy.ascontiguousarray(...) of it"
        )
    expected = start + math.prod(shape) * dtype.itemsize
    if expected > size:
        raise InputError(
            f"{name} is truncated: shape {shape} of {dtype} takes {expected} bytes, there are "
            f"{size}"
        )

    @contextmanager
    def after_header() -> Iterator[IO[bytes]]:
        with opened() as file:
            file.read(start)
            yield file

    array = _streamed(name, after_header, dtype, shape)
    if not fortran or len(shape) < 2:
        return array

    def by_rows(count: int) -> Iterator[torch.Tensor]:
        flat = torch.cat([*array.parts(2**22)])
        yield from (
            flat.reshape(shape[::-1]).permute(*range(len(shape))[::-1]).flatten().split(count)
        )

    return Array(name, shape, array.floating, by_rows)


def _header(name: str, file: IO[bytes]) -> tuple[int, dict]:
    """The length of the header of a .npy file, and what it says."""
    magic = file.read(8)
    if len(magic) < 8 or magic[:6] != b"\x93NUMPY" or magic[6] not in (1, 2, 3):
        raise InputError(f"{name} is not an array of NumPy: it is empty, or of another format")
    width = 2 if magic[6] == 1 else 4
    length = int.from_bytes(file.read(width), "little")
    if length > 2**16:
        raise InputError(f"{name} declares a header of {length} bytes")
    try:
        header = ast.literal_eval(file.read(length).decode("latin1"))
        shape = header["shape"]
        good = all(isinstance(n, int) and n >= 0 for n in shape) and "descr" in header
        good = good and isinstance(header["fortran_order"], bool)
    except (ValueError, SyntaxError, KeyError, TypeError, MemoryError, RecursionError):
        good = False
    if not good:
        raise InputError(f"{name} has a broken header, or it is truncated")
    return 8 + width + length, header


def _dtype(path: Path, name: str, code: object) -> np.dtype:
    try:
        dtype = np.dtype(code)  # type: ignore[call-overload]
    except (TypeError, ValueError):
        raise InputError(f"{name} has an unknown dtype {code!r}") from None
    if dtype.hasobject:
        raise InputError(f"{name} holds objects, which is a pickle. {unpickled(path)}")
    if dtype.kind == "V" and dtype.itemsize == 2 and dtype.names is None:
        raise InputError(
            f"{name} has dtype {dtype.str}, which is how bfloat16 is written: NumPy has none; save "
            "logits.float() instead"
        )
    if dtype.kind not in "fiub" or dtype.itemsize > 8:
        raise InputError(f"{name} has dtype {dtype}, expected numbers (float16 to 64, or integers)")
    return dtype


def _streamed(
    name: str, opened: Opener, dtype: np.dtype, shape: tuple[int, ...], brain: bool = False
) -> Array:
    native = dtype.newbyteorder("=")
    if native.kind == "u" and native.itemsize > 1 and not brain:
        native = np.dtype("i8")

    def parts(count: int) -> Iterator[torch.Tensor]:
        left = math.prod(shape)
        with _readable(name), opened() as file:
            while left:
                take = min(count, left)
                data = bytearray(file.read(take * dtype.itemsize))
                if len(data) < take * dtype.itemsize:
                    raise InputError(f"{name} is truncated: {left} numbers are missing or fewer")
                flat = torch.from_numpy(np.frombuffer(data, dtype).astype(native, copy=False))
                yield flat.view(torch.bfloat16) if brain else flat
                left -= take

    return Array(name, shape, brain or dtype.kind == "f", parts)


@contextmanager
def _readable(name: object) -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:  # zipfile's, for a password or an unknown compression
        raise InputError(
            f"{name} cannot be read, it is encrypted or compressed in an unknown way: {error}; "
            "numpy.savez and savez_compressed write what can be"
        ) from None
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise InputError(f"{name} cannot be read, it is damaged or truncated: {error}") from None
