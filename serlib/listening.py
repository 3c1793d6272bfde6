"""Every clip decoded once: how long it is, at which rate, its hash, or why it cannot be used; and that remembered."""

from __future__ import annotations

import hashlib
import os
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import soundfile as sf

SILENT_PEAK = 1e-4  # -80 dBFS: below the 16-bit noise floor of every corpus here

# What `listen` found, one file a corpus: decoding all clips takes a minute, comparing their sizes and times none.
MEMORY = Path(__file__).resolve().parents[1] / "data" / "features"
SCHEMA = pa.schema(
    [
        ("path", pa.string()),  # below the corpus's folder
        ("size", pa.int64()),
        ("mtime_ns", pa.int64()),
        ("seconds", pa.float64()),
        ("sample_rate", pa.int64()),
        ("channels", pa.int64()),
        ("sha256", pa.string()),
    ],
    metadata={"version": "1"},  # to be raised when `listen` changes, so that nothing found by an older one is used
)


def hear(folder: Path, paths: list[Path]) -> list[dict]:
    """What `listen` finds in each file: remembered for files whose size and time are the same, else decoded now."""
    cache = MEMORY / f"heard_{folder.name}_{hashlib.sha256(str(folder).encode()).hexdigest()[:8]}.parquet"
    remembered = _remembered(cache)
    keys = [_file_key(path, folder) for path in paths]
    new = {key: path for key, path in zip(keys, paths, strict=True) if key not in remembered}
    with ThreadPoolExecutor() as pool:  # decoding and hashing release the interpreter lock
        heard = remembered | dict(zip(new, pool.map(listen, new.values()), strict=True))
    # A fault is looked for again every time: it may be mended without the file changing, a permission for one.
    usable = {key: heard[key] for key in keys if "reason" not in heard[key]}
    if usable.keys() != remembered.keys():
        _remember(cache, usable)
    return [heard[key] for key in keys]


def _file_key(path: Path, folder: Path) -> tuple[str, int, int]:
    """Path below the folder, size and time of a file."""
    try:
        status = path.stat()
    except OSError:  # `listen` says what is wrong with it
        return os.path.relpath(path, folder), -1, -1
    return os.path.relpath(path, folder), status.st_size, status.st_mtime_ns


def _remembered(cache: Path) -> dict[tuple, dict]:
    """What a cache file holds; nothing where it is missing, damaged or of another version."""
    try:
        table = pq.read_table(cache, page_checksum_verification=True, partitioning=None)
    except (OSError, pa.ArrowException):
        return {}
    if not table.schema.equals(SCHEMA, check_metadata=True):
        return {}
    rows = table.to_pylist()
    return {(row.pop("path"), row.pop("size"), row.pop("mtime_ns")): row for row in rows}


def _remember(cache: Path, heard: dict[tuple, dict]) -> None:
    """Write a cache file whole or not at all; where the repository cannot be written to, reading is only slower."""
    rows = [{"path": path, "size": size, "mtime_ns": time} | found for (path, size, time), found in heard.items()]
    temporary = None
    try:
        cache.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=cache.parent, prefix=cache.stem, suffix=".part", delete=False) as file:
            temporary = Path(file.name)  # a name of its own, so that two processes do not write into one file
            pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), file, write_page_checksum=True)
        temporary.replace(cache)
    except OSError:
        if temporary:
            temporary.unlink(missing_ok=True)


def listen(path: Path) -> dict:
    """Seconds, sample rate, channels and hash of one clip; or why it cannot be used, and whether it is broken."""
    if not path.is_file():
        return {"reason": "file is missing", "broken": True}
    if path.stat().st_size == 0:
        return {"reason": "file is empty", "broken": True}
    try:
        samples, rate = sf.read(path, dtype="float32", always_2d=True)
    except (sf.LibsndfileError, TypeError) as error:  # TypeError: headerless .raw
        return {"reason": f"cannot be decoded: {getattr(error, 'error_string', error)}", "broken": True}
    if not len(samples):
        return {"reason": "holds no samples", "broken": True}
    if not np.isfinite(samples).all():
        return {"reason": "holds NaN or infinite samples", "broken": True}
    if np.abs(samples).max() < SILENT_PEAK:
        return {"reason": f"silent: peak below {20 * np.log10(SILENT_PEAK):.0f} dBFS", "broken": False}
    digest = hashlib.sha256(f"{rate} {samples.shape}".encode() + samples.tobytes()).hexdigest()
    return {"seconds": len(samples) / rate, "sample_rate": rate, "channels": samples.shape[1], "sha256": digest}
