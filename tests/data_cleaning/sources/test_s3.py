"""Sources in S3: fetched and followed by the real client, from a stand-in for the service on this machine."""

import datetime
import hashlib

import pytest

from data_cleaning.recipes import SourcesRecipe
from data_cleaning.sources import faults, fetch, follow
from data_cleaning.sources.errors import FetchError
from data_cleaning.sources.table import Entry, load_sources
from tests.data_cleaning.raw import source

pytest.importorskip("s3fs", reason="the client of S3 is not installed: make cluster")
boto3 = pytest.importorskip("boto3", reason="not installed: make cluster")
server = pytest.importorskip("moto.server", reason="not installed: make cluster")

ONE, TWO = b"The first edition.", b"The second edition, which is longer."
DAY = datetime.date(2026, 12, 1)


@pytest.fixture(scope="module")
def bucket():
    """Writes an object of the bucket `corpus`. One service for all tests: fsspec keeps its client."""
    service = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    service.start()
    host, port = service.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "hunter2")
        client = boto3.client("s3")
        client.create_bucket(Bucket="corpus")
        yield lambda key, data: client.put_object(Bucket="corpus", Key=key, Body=data)
    service.stop()


def test_an_object_is_fetched_and_verified_and_a_missing_one_is_named(bucket, tmp_path, log):
    bucket("a.txt", ONE)
    there, missing = tmp_path / "there", tmp_path / "missing"
    there.mkdir()
    missing.mkdir()
    chosen = source("store", "s3://corpus/a.txt", sha256=hashlib.sha256(ONE).hexdigest())
    fetch.run(SourcesRecipe((chosen,)), {}, there, log)
    assert (there / "raw" / "store" / "a.txt").read_bytes() == ONE
    chosen = source("store", "s3://corpus/none.txt", sha256="0" * 64)
    with pytest.raises(FetchError, match=r"s3://corpus/none\.txt cannot be opened: FileNotFoundError"):
        fetch.run(SourcesRecipe((chosen,)), {}, missing, log)


def test_a_new_object_is_pinned_once(bucket, tmp_path, log, monkeypatch):
    monkeypatch.setattr(faults, "TRIES", 1)
    news = Entry(source("news", "s3://corpus/b.txt"), "main")

    def look() -> str:
        return follow.look([news], tmp_path / "sources.toml", tmp_path / "inbox", DAY, log)[0]

    for data, snapshot in ((ONE, "2026-12-01"), (TWO, "2026-12-01.2")):
        bucket("b.txt", data)
        assert look().startswith(f"snapshot {snapshot}: news, pinned in")
        assert look() == f"news: nothing new since snapshot {snapshot}"
    pins = [entry.sha256 for entry in load_sources(tmp_path / "inbox" / follow.TABLE)]
    assert pins == [hashlib.sha256(data).hexdigest() for data in (ONE, TWO)]
