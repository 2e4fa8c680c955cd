import contextlib
import hashlib
import re

import pytest

from resnet_lib import ARCHITECTURES, build, data, known_weights
from resnet_lib.known_weights import KnownFile, check_hash, fetch, known, known_file

TABLE = data.published("pretrained_weights")


def test_every_row_of_the_table_has_a_name_a_network_and_an_address():
    assert list(known()) == list(TABLE.name) and TABLE.name.is_unique and TABLE["where"].is_unique
    for file in known().values():
        assert file.architecture in ARCHITECTURES and file.name.startswith(f"{file.family}/")
        assert re.match(r"https?://[^ ]+/", file.where) and file.where.endswith(f"/{file.file}")
        assert (file.hash_kind, len(file.hash)) in {("md5", 32), ("", 0)}
    assert len({file.cached for file in known().values()}) == len(TABLE)


def test_keras_files_and_hashes_are_those_of_keras():
    from keras.src.applications import resnet

    for file in known().values():
        if file.family == "keras":
            network, no_top = file.file.split("_weights_")[0], file.name.endswith("_notop")
            assert file.hash == resnet.WEIGHTS_HASHES[network][no_top]
            assert file.where == f"{resnet.BASE_WEIGHTS_PATH}{network}_weights_tf_dim_ordering_tf_kernels" + (
                "_notop.h5" if no_top else ".h5"
            )
            assert file.architecture == f"resnet_v{2 if 'v2' in network else 1}_{re.search('[0-9]+', network)[0]}"
    assert (TABLE.family == "keras").sum() == 12


def test_a_known_file_has_what_its_row_says():
    assert known_file("timm/resnetv2_50.a1h_in1k") == KnownFile(
        name="timm/resnetv2_50.a1h_in1k",
        family="timm",
        architecture="resnet_v2_50",
        file="model.safetensors",
        where="https://huggingface.co/timm/resnetv2_50.a1h_in1k/resolve/main/model.safetensors",
        hash_kind="",
        hash="",
    )
    slim = TABLE.set_index("name").loc["tf-slim/resnet_v2_152"]
    assert (slim.image_size, slim.num_classes, slim.class_offset) == (299, 1001, 1)


def test_another_name_is_answered_with_near_ones():
    for name, near in {"keras/resnet_v2_51": "'keras/resnet_v2_50'", "": "'", 50: "'", None: "'"}.items():
        with pytest.raises(ValueError, match=f"no file of weights is called {name!r}; near are .*{near}"):
            known_file(name)


CONTENT = b"released weights"


def md5(content):
    return hashlib.md5(content).hexdigest()


@pytest.fixture
def released(tmp_path, monkeypatch):
    """Makes one known file, "keras/net", whose address is a file of the test; Keras' folder is one of the test."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    (tmp_path / "web").mkdir()

    def release(content=CONTENT, hash=""):
        origin = tmp_path / "web/net.h5"
        if content is not None:
            origin.write_bytes(content)
        file = KnownFile("keras/net", "keras", "resnet_v2_50", "net.h5", origin.as_uri(), "md5" if hash else "", hash)
        monkeypatch.setattr(known_weights, "known", lambda: {file.name: file})
        return file

    return release


@pytest.fixture
def no_download(monkeypatch):
    monkeypatch.setattr(known_weights, "_get", lambda wanted, path: pytest.fail("downloaded again"))


def there(tmp_path):
    """The files in the folder of "keras/net", but for the lock."""
    folder = tmp_path / "keras/resnet_lib/keras/net"
    return sorted(path.name for path in folder.glob("*") if path.suffix != ".lock")


@pytest.mark.parametrize("hash", [md5(CONTENT), ""])
def test_a_file_is_downloaded_once_and_its_hash_noted_where_none_is_published(tmp_path, released, hash, monkeypatch):
    file = released(hash=hash)
    assert fetch("keras/net") == file.cached == tmp_path / "keras/resnet_lib/keras/net/net.h5"
    assert file.cached.read_bytes() == CONTENT
    assert there(tmp_path) == (["net.h5"] if hash else ["net.h5", "net.h5.sha256"])
    if not hash:
        noted = file.cached.with_name("net.h5.sha256").read_text()
        assert noted == f"{hashlib.sha256(CONTENT).hexdigest()}  net.h5\n"
    monkeypatch.setattr(known_weights, "_get", lambda wanted, path: pytest.fail("downloaded again"))
    assert fetch("keras/net") == file.cached


@pytest.mark.parametrize("hash", [md5(CONTENT), ""])
def test_a_file_that_was_put_there_by_hand_is_taken(tmp_path, released, no_download, hash):
    file = released(None, hash)
    file.cached.parent.mkdir(parents=True)
    file.cached.write_bytes(CONTENT)
    assert fetch("keras/net").read_bytes() == CONTENT
    assert ("net.h5.sha256" in there(tmp_path)) == (not hash)


def test_a_cached_file_that_has_changed_is_refused_with_both_hashes(released, no_download):
    file = released(None, md5(CONTENT))
    file.cached.parent.mkdir(parents=True)
    file.cached.write_bytes(b"other")
    with pytest.raises(ValueError, match=f"net.h5 is damaged .* md5 is {md5(b'other')}, not {md5(CONTENT)}; delete it"):
        fetch("keras/net")


def test_a_file_without_a_published_hash_is_held_against_the_first_one(tmp_path, released):
    file = released()
    fetch("keras/net").write_bytes(b"other")
    first, other = hashlib.sha256(CONTENT).hexdigest(), hashlib.sha256(b"other").hexdigest()
    with pytest.raises(
        ValueError, match=f"net.h5 is damaged .* sha256 is {other}, not {first}; .*net.h5.sha256 as well"
    ):
        fetch("keras/net")
    file.cached.unlink()
    released(b"published anew")
    with pytest.raises(ValueError, match=f"not {first}; it was not kept; if it has been published anew"):
        fetch("keras/net")
    assert there(tmp_path) == ["net.h5.sha256"]


def test_a_download_that_is_another_file_is_not_kept(tmp_path, released):
    released(b"a page that asks for a password", md5(CONTENT))
    with pytest.raises(ValueError, match=f"what came from file:.*/net.h5 is damaged .* not {md5(CONTENT)}; it was not"):
        fetch("keras/net")
    assert there(tmp_path) == []


def test_without_a_connection_it_says_what_to_download_and_where_to_put_it(tmp_path, released):
    file = released(None)
    message = f"keras/net could not be downloaded (.*): .* download {file.where} and save it here as {file.cached}$"
    with pytest.raises(ConnectionError, match=message):
        fetch("keras/net")
    assert there(tmp_path) == []


@pytest.mark.parametrize("end", [OSError("reset"), KeyboardInterrupt()])
def test_half_a_download_is_never_taken_for_the_file(tmp_path, released, monkeypatch, end):
    """Neither one that ends with an error, nor what a process that was killed has left."""
    from resnet_lib.tf_slim_compat import tf

    file = released()

    def breaks_off(name, origin, cache_subdir):
        (tmp_path / cache_subdir / name).write_bytes(CONTENT[:5])
        raise end

    with monkeypatch.context() as broken:
        broken.setattr(tf.keras.utils, "get_file", breaks_off)
        with pytest.raises(ConnectionError if isinstance(end, OSError) else KeyboardInterrupt):
            fetch("keras/net")
    assert there(tmp_path) == []
    file.cached.with_name("net.h5.part").write_bytes(CONTENT[:5])
    assert fetch("keras/net").read_bytes() == CONTENT and "net.h5.part" not in there(tmp_path)


def test_what_another_process_downloads_in_the_meantime_is_taken(released, no_download, monkeypatch):
    file = released(hash=md5(CONTENT))

    @contextlib.contextmanager
    def lock(path):  # until the other process has let go of it
        assert path == f"{file.cached}.lock"
        file.cached.write_bytes(CONTENT)
        yield

    monkeypatch.setattr(known_weights, "FileLock", lock)
    assert fetch("keras/net") == file.cached


def test_a_file_of_ones_own_is_checked_by_its_name(tmp_path, released):
    released(None, md5(CONTENT))
    (tmp_path / "net.h5").write_bytes(CONTENT)
    check_hash(tmp_path / "net.h5")
    (tmp_path / "net.h5").write_bytes(CONTENT[:-1])
    (tmp_path / "mine.h5").write_bytes(CONTENT[:-1])
    check_hash(str(tmp_path / "mine.h5"))
    with pytest.raises(ValueError, match=f"net.h5 is damaged .* not {md5(CONTENT)}; download it again from file:"):
        check_hash(str(tmp_path / "net.h5"))
    released(None)
    check_hash(tmp_path / "net.h5")  # no hash of it is published


def test_a_name_in_the_place_of_a_path_says_how_it_becomes_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    message = r"no such file of weights; known_weights.fetch\('keras/resnet_v2_50'\) downloads the one of that name"
    with pytest.raises(FileNotFoundError, match=message):
        build("resnet_v2_50", weights="keras/resnet_v2_50")
    (tmp_path / "keras").mkdir()
    (tmp_path / "keras/resnet_v2_50.index").touch()  # a checkpoint of one's own
    check_hash("keras/resnet_v2_50")
