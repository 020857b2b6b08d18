"""Reading the original's snapshots, and refusing harmful files."""

import io
import os
import pickle
import pickletools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipeline.errors import NetworkError
from training import generate, interop
from training.interop import tf_unpickle

REAL = Path(__file__).parents[2] / "golden/pggan/snapshot_b.pkl"
CPU = torch.device("cpu")


class Calls:
    """Pickles as a call of `function`: as in a harmful file."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self._reduced = (function, arguments)

    def __reduce__(self) -> Any:
        return self._reduced


def _edited(path: Path, edit: Callable[[dict[str, Any]], Any], network: int = 2) -> Path:
    """The real snapshot with the state of one network changed, written again in the original's form."""
    states = [dict(state) for state in tf_unpickle.networks(REAL)]
    edit(states[network])
    path.write_bytes(_written(states))
    return path


def _written(states: list[dict[str, Any]]) -> bytes:
    """A pickle of networks, by the names that the original's have."""
    plain = pickle.dumps(tuple(_Network(_as_numpy(state)) for state in states), protocol=4)
    here = f"{_Network.__module__}"
    parts = [(here, "tfutil"), ("_Network", "Network"), ("numpy._core.multiarray", "numpy.core.multiarray")]
    return _renamed(plain, dict(parts))


class _Network:
    def __init__(self, state: dict[str, Any]) -> None:
        self.state = state

    def __getstate__(self) -> dict[str, Any]:
        return self.state


def _as_numpy(value: Any) -> Any:
    if isinstance(value, tf_unpickle.Scalar):
        return np.float32(value.value)
    if isinstance(value, tf_unpickle.Array):
        return value.value
    if isinstance(value, dict):
        return {key: _as_numpy(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_as_numpy(item) for item in value)
    return value


def _renamed(content: bytes, names: dict[str, str]) -> bytes:
    """The pickle with short strings replaced, unframed."""
    out = io.BytesIO()
    operations = list(pickletools.genops(content))
    ends = [position for _, _, position in operations[1:]] + [len(content)]
    for (operation, argument, position), end in zip(operations, ends, strict=True):
        if operation.name == "FRAME":
            continue
        if operation.name == "SHORT_BINUNICODE" and argument in names:
            text = names[argument].encode()
            out.write(b"\x8c" + bytes([len(text)]) + text)
        else:
            out.write(content[position:end])
    return out.getvalue()


def test_a_snapshot_and_its_network_file_generate_the_same_images(tmp_path: Path) -> None:
    original = interop.read(REAL)
    interop.write(tmp_path / "network.safetensors", original)
    snapshot = generate.load(tmp_path / "network.safetensors", CPU)
    assert (snapshot.info.resolution, snapshot.info.label_size) == (8, 3)
    assert snapshot.info.discriminator.mbstd_group_size == 16
    latents_NL, labels_NC = snapshot.latents(1, 5), np.eye(3, dtype=np.float32)[[0, 1, 2, 0, 1]]
    images = snapshot.images(latents_NL, labels_NC, minibatch=5)
    assert images.shape == (5, 3, 8, 8)
    expected = generate.images(original.average, latents_NL, labels_NC, lod=original.lod, minibatch=5)
    assert np.array_equal(images, expected)


def test_a_rewritten_snapshot_has_the_same_weights(tmp_path: Path) -> None:
    again = interop.read(_edited(tmp_path / "again.pkl", lambda state: None))
    for name, value in interop.read(REAL).average.state_dict().items():
        assert torch.equal(value, again.average.state_dict()[name])


@pytest.mark.parametrize("function", [os.system, eval, exec, open, getattr, pickle.loads, np.load, np.frombuffer])
@pytest.mark.parametrize("protocol", [2, 4])
def test_a_pickle_with_a_call_is_refused_without_calling(
    tmp_path: Path, function: Callable[..., Any], protocol: int
) -> None:
    touched = tmp_path / "touched"
    code = f"open({str(touched)!r}, 'w')"
    arguments = {os.system: (f"touch {touched}",), open: (str(touched), "w")}.get(function, (code,))
    path = tmp_path / "harmful.pkl"
    path.write_bytes(pickle.dumps(Calls(function, *arguments), protocol=protocol))
    with pytest.raises(NetworkError, match=r"harmful\.pkl: refused: it names .* which no network snapshot needs"):
        interop.read(path)
    assert not touched.exists()


def test_a_call_inside_a_real_snapshot_is_refused(tmp_path: Path) -> None:
    def edit(state: dict[str, Any]) -> None:
        state["build_module_src"] = Calls(os.system, f"touch {tmp_path / 'touched'}")

    with pytest.raises(NetworkError, match=r"names posix\.system"):
        interop.read(_edited(tmp_path / "harmful.pkl", edit))
    assert not (tmp_path / "touched").exists()


def test_a_pickle_cannot_change_the_replacement_classes(tmp_path: Path) -> None:
    """BUILD sets attributes of whatever it is given, here of the class that stands in for NumPy's arrays."""
    path = tmp_path / "poison.pkl"
    path.write_bytes(b"\x80\x02cnumpy\nndarray\nN}X\x05\x00\x00\x00valueK\x01s\x86b.")
    with pytest.raises(NetworkError, match="does not hold three networks"):
        interop.read(path)
    assert "value" not in vars(tf_unpickle.ArrayType)
    interop.read(REAL)


@pytest.mark.parametrize("length", [0, 1, 100, 5000, -1, -200])
def test_a_truncated_snapshot_is_refused(tmp_path: Path, length: int) -> None:
    path = tmp_path / "short.pkl"
    path.write_bytes(REAL.read_bytes()[:length])
    with pytest.raises(NetworkError, match=r"short\.pkl: refused"):
        interop.read(path)


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(NetworkError, match=r"absent\.pkl: no such file"):
        interop.read(tmp_path / "absent.pkl")
    path = tmp_path / "other.pkl"
    for content in ([1, 2, 3], ({}, {}, {}), "text", (1, 2)):
        path.write_bytes(pickle.dumps(content))
        with pytest.raises(NetworkError, match="does not hold three networks"):
            interop.read(path)
    path.write_bytes(b"hello")
    with pytest.raises(NetworkError, match="refused"):
        interop.read(path)
    path.write_bytes(pickle.dumps(np.array([print], dtype=object), protocol=4))
    with pytest.raises(NetworkError, match="refused"):
        interop.read(path)


def _set(key: str, value: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda state: state.update({key: value})


def _option(**options: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda state: state.update(static_kwargs={**state["static_kwargs"], **options})


def _variables(change: Callable[[list[Any]], Any]) -> Callable[[dict[str, Any]], Any]:
    return lambda state: state.update(variables=change(list(state["variables"])))


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (_set("version", 3), "a network of version 3; only version 2"),
        (_set("build_func_name", "G_other"), "built by 'G_other' where 'G_paper'"),
        (_set("static_kwargs", None), "without options"),
        (_option(use_magic=True), "unknown options.*use_magic"),
        (_option(fmap_max="many"), "fmap_max"),
        (_option(resolution=24), "resolution 24"),
        (_option(resolution=2.5), "resolution 2.5: not a whole number"),
        (_option(latent_size=10**12), "latent_size 1000000000000: not a whole number from 0 to 65536"),
        (_option(num_channels=-1), "num_channels -1"),
        (_option(label_size=10**11), "label_size"),
        (_option(fmap_base=10**400), "fmap_base"),
        (_option(fmap_decay=1e308), "fmap_decay"),
        (_option(fmap_decay=float("nan")), "fmap_decay"),
        (_option(fmap_base=65536, fmap_max=65536, latent_size=65536), "does not fit the network's"),  # terabytes
        (_option(fmap_max=8), "does not fit the network's"),
        (_variables(lambda pairs: pairs[1:]), "without its level of detail"),
        (_variables(lambda pairs: pairs[:-1]), "missing .*ToRGB_lod0/bias"),
        (_variables(lambda pairs: [*pairs, ("extra", pairs[1][1])]), "unknown .*extra"),
        (_variables(lambda pairs: [*pairs, ("text", "text")]), "neither a named array"),
        (_variables(lambda pairs: [("lod", np.float32(7)), *pairs[1:]]), "lod 7.0 is outside"),
    ],
)
def test_an_inconsistent_network_is_refused(
    tmp_path: Path, edit: Callable[[dict[str, Any]], Any], message: str
) -> None:
    with pytest.raises(NetworkError, match=rf"(?s)bad\.pkl: .*{message}"):
        interop.read(_edited(tmp_path / "bad.pkl", edit))


def test_arrays_of_other_memory_orders_and_dtypes_are_read(tmp_path: Path) -> None:
    names: list[str] = []

    def rewritten(pairs: list[Any]) -> list[Any]:
        names.extend(name for name, _ in pairs[1:4])
        forms = [np.asfortranarray, lambda x: x.astype(">f4"), lambda x: x.astype(np.float64)]
        values = [form(value.value) for form, (_, value) in zip(forms, pairs[1:4], strict=True)]
        return [pairs[0], *zip(names, values, strict=True), *pairs[4:]]

    again = interop.read(_edited(tmp_path / "again.pkl", _variables(rewritten)))
    expected = interop.read(REAL).average.state_dict()
    for name, value in again.average.state_dict().items():
        assert torch.equal(value, expected[name])
